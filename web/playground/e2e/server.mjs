import { spawn } from 'node:child_process';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const binary = process.env.TRADESAGE_BINARY ?? fileURLToPath(new URL('../../../bin/tradesage', import.meta.url));

/** How long dev may take to start on an empty folder, in milliseconds. */
const startLimit = 120_000;

/**
 * @returns {Promise<string>} an address of this machine at which nobody listens
 */
function freeAddress() {
  return new Promise((resolve, reject) => {
    const probe = createServer();
    probe.once('error', reject);
    probe.listen(0, '127.0.0.1', () => {
      const { port } = /** @type {import('node:net').AddressInfo} */ (probe.address());
      probe.close(() => resolve(`127.0.0.1:${port}`));
    });
  });
}

/**
 * Starts the built program with a data folder of its own and waits until it serves.
 * @param {string[]} [options] more flags of dev
 * @returns {Promise<{url: string, close: () => Promise<void>}>}
 */
export async function startServer(options = []) {
  const folder = await mkdtemp(join(tmpdir(), 'tradesage-web-'));
  await chmod(folder, 0o755); // PostgreSQL's user must reach the data
  const [listen, metrics] = [await freeAddress(), await freeAddress()];
  const args = ['dev', '--listen', listen, '--metrics-listen', metrics, '--data', join(folder, 'data'), ...options];
  const server = spawn(binary, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  /** @type {Promise<void>} */
  const ended = new Promise((resolve) => {
    server.once('error', (error) => {
      output += `${error}\n`;
      resolve();
    });
    server.once('exit', () => resolve());
  });
  const ready = new Promise((resolve) => {
    for (const stream of [server.stdout, server.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => {
        output += text;
        if (output.includes('Ctrl-C stops everything')) resolve('ready');
      });
    }
  });
  const limit = AbortSignal.timeout(startLimit);
  const late = new Promise((resolve) => limit.addEventListener('abort', resolve, { once: true }));
  const close = async () => {
    server.kill('SIGINT');
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
  if ((await Promise.race([ready, ended, late])) !== 'ready') {
    await close();
    throw new Error(`${binary} did not start:\n${output}`);
  }
  return { url: `http://${listen}`, close };
}
