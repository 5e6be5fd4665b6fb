import assert from 'node:assert/strict';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

/** @import { Browser, BrowserContextOptions, Page } from 'playwright-core' */

/** Where screenshots go; none are made if it is empty. */
const screenshots = process.env.SCREENSHOTS ?? '';

/** @returns {Promise<Browser>} */
export function startBrowser() {
  return chromium.launch({
    executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
    ],
  });
}

/**
 * A visitor of the playground. Everything that the page asks for, logs or is
 * refused by its policy is noted; close judges it.
 */
export class Visitor {
  /** @type {string[]} */ complaints = [];
  /** @type {Page} */ page;

  /** @param {Page} page @param {string} url */
  constructor(page, url) {
    this.page = page;
    this.url = url;
  }

  /**
   * @param {Browser} browser
   * @param {string} url the server's origin
   * @param {BrowserContextOptions} [options]
   */
  static async open(browser, url, options = {}) {
    const context = await browser.newContext({ viewport: { width: 1360, height: 800 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(20_000);
    const visitor = new Visitor(page, url);
    visitor.#listen();
    await page.goto(`${url}/playground`);
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    // GraphiQL has read the schema when it can show it.
    await visitor.panel.waitFor();
    await page.locator('.graphiql-query-editor .view-lines').waitFor();
    return visitor;
  }

  #listen() {
    const { page, complaints, url } = this;
    const { host } = new URL(url);
    /** @param {string} address */
    const foreign = (address) => {
      const { protocol, host: asked } = new URL(address);
      return !['data:', 'blob:'].includes(protocol) && asked !== host;
    };
    page.context().on('request', (request) => {
      if (foreign(request.url())) complaints.push(`asked for ${request.url()}`);
    });
    page.on('websocket', (socket) => {
      if (foreign(socket.url())) complaints.push(`connected to ${socket.url()}`);
    });
    page.context().on('response', (response) => {
      if (response.status() >= 400 && !this.expected.includes(response.status())) {
        complaints.push(`${response.status()} ${response.url()}`);
      }
    });
    page.on('pageerror', (error) => complaints.push(`threw ${error}`));
    page.on('console', (message) => {
      if (!['error', 'warning'].includes(message.type())) return;
      if (this.expected.some((status) => message.text().includes(`status of ${status}`))) return;
      complaints.push(`console: ${message.text()}`); // also violations of the policy
    });
  }

  /** Statuses of refusals that the test provokes. @type {number[]} */ expected = [];

  get panel() {
    return this.page.getByRole('complementary', { name: 'Account' });
  }

  /** @param {string} email @param {string} [password] */
  async signIn(email, password = 'tradesage-dev') {
    await this.panel.getByLabel('E-mail').fill(email);
    await this.panel.getByLabel('Password').fill(password);
    await this.panel.getByRole('button', { name: 'Sign in' }).click();
  }

  /** Waits until the bar says who is signed in. @param {string} text */
  async signedInAs(text) {
    await this.page.getByRole('banner').getByRole('button', { name: text }).waitFor();
  }

  /** Opens a tab of GraphiQL. @param {string} name */
  async openTab(name) {
    await this.page.getByRole('tab', { name, exact: true }).click();
    await this.#known(name);
  }

  /**
   * Waits until GraphiQL has taken note of the operation in the editor, which is a
   * moment after the text is there: it then keeps the text, and runs by its name.
   * @param {string} name of the operation
   */
  async #known(name) {
    await this.page.waitForFunction(
      (wanted) => new RegExp(`(query|mutation|subscription) ${wanted}\\b`).test(localStorage.getItem('graphiql:query') ?? ''),
      name,
    );
  }

  /**
   * Replaces the operation in the open tab by one of another name.
   * @param {string} name @param {string} operation
   */
  async write(name, operation) {
    await this.page.locator('.graphiql-query-editor .view-lines').click();
    await this.page.keyboard.press('ControlOrMeta+A');
    await this.page.keyboard.insertText(operation);
    await this.#known(name);
  }

  /** Runs what the editor holds. */
  async run() {
    await this.page.getByRole('button', { name: /^Execute query/ }).click();
  }

  /** Waits until the answer holds the text, however its lines are broken. @param {string} text */
  async answers(text) {
    try {
      await this.page.waitForFunction(
        (wanted) => (document.querySelector('.result-window')?.textContent ?? '').replace(/\s/g, '').includes(wanted),
        text.replace(/\s/g, ''),
      );
    } catch {
      assert.fail(`no answer with ${text}: ${await this.page.locator('.result-window').textContent()}`);
    }
  }

  /** @param {string} name */
  async screenshot(name) {
    if (!screenshots) return;
    await mkdir(screenshots, { recursive: true });
    await this.page.screenshot({ path: join(screenshots, `${name}.png`) });
  }

  /** Ends the visit; it fails if the page did what it must not. */
  async close() {
    await this.page.context().close();
    assert.deepEqual(this.complaints, []);
  }
}
