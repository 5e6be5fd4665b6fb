import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import react from '@vitejs/plugin-react';
import { defineConfig, type Plugin } from 'vite';

const outDir = join(import.meta.dirname, '../dist/playground');

/** Leaves of each text asset only its packed form, which the server knows how to serve. */
const packAssets: Plugin = {
  name: 'pack-assets',
  apply: 'build',
  async closeBundle() {
    const folder = join(outDir, 'assets');
    for (const name of await readdir(folder)) {
      if (!/\.(js|css)$/.test(name)) continue;
      const path = join(folder, name);
      const packed = await promisify(gzip)(await readFile(path), { level: constants.Z_BEST_COMPRESSION });
      await writeFile(`${path}.gz`, packed);
      await rm(path);
    }
  },
};

export default defineConfig({
  base: '/playground/',
  plugins: [react(), packAssets],
  worker: { format: 'es' },
  build: {
    outDir,
    emptyOutDir: true,
    license: { fileName: 'licences.md' }, // of the libraries in the bundle
    assetsInlineLimit: 0, // the policy lets no script be data
    reportCompressedSize: false,
    chunkSizeWarningLimit: 4096, // the editor is one chunk of 3 MB
    rolldownOptions: {
      onwarn(warning, warn) {
        // Directives of React's compiler in GraphiQL's built files; they do nothing here.
        if (warning.code !== 'MODULE_LEVEL_DIRECTIVE') warn(warning);
      },
    },
  },
});
