import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { startBrowser, Visitor } from './page.mjs';
import { startServer } from './server.mjs';

/** @import { Browser } from 'playwright-core' */

/**
 * Does something that others can see, outside of the page.
 * @param {string} url the server's origin
 * @param {string} email
 */
async function changeProfile(url, email) {
  /** @param {string} query @param {string} [token] */
  const ask = async (query, token) => {
    const response = await fetch(`${url}/graphql`, {
      method: 'POST',
      headers: { 'Content-Type': 'application/json', ...(token ? { Authorization: `Bearer ${token}` } : {}) },
      body: JSON.stringify({ query }),
    });
    const answer = await response.json();
    assert.equal(answer.errors, undefined);
    return answer.data;
  };
  const { login } = await ask(`mutation { login(input: {email: "${email}", password: "tradesage-dev"}) { accessToken } }`);
  await ask('mutation { updateProfile(input: {displayName: "Tess"}) { user { id } } }', login.accessToken);
}

describe('the playground', { timeout: 300_000 }, () => {
  /** @type {Awaited<ReturnType<typeof startServer>>} */ let server;
  /** @type {Browser} */ let browser;

  before(async () => {
    server = await startServer();
    browser = await startBrowser();
  });
  after(async () => {
    await browser?.close();
    await server?.close();
  });

  /**
   * A test with a visitor of its own.
   * @param {string} name
   * @param {(visitor: Visitor) => Promise<void>} body
   * @param {import('playwright-core').BrowserContextOptions} [options]
   */
  function visit(name, body, options) {
    test(name, async () => {
      const visitor = await Visitor.open(browser, server.url, options);
      try {
        await body(visitor);
      } catch (error) {
        await visitor.screenshot(`failed ${name}`);
        throw error;
      }
      await visitor.close();
    });
  }

  visit('signs in, queries, changes and signs out', async (visitor) => {
    const { page, panel } = visitor;
    await visitor.screenshot('signed out, light');
    await panel.getByRole('button', { name: 'owner@acme.test' }).click();
    await page.keyboard.press('Enter'); // the focus is on the button that signs in
    await visitor.signedInAs('owner@acme.test');
    assert.equal(await panel.isVisible(), false, 'the panel makes room');

    await visitor.run();
    await visitor.answers('"email": "owner@acme.test"');
    await visitor.answers('"name": "Acme Trading"');
    await visitor.screenshot('me, light');

    await visitor.openTab('UpdateProfile');
    await visitor.run();
    await visitor.answers('"displayName": "Ada"');
    await visitor.screenshot('mutation, light');

    await visitor.signedInAs('Acme Trading');
    await page.getByRole('banner').getByRole('button', { name: 'owner@acme.test' }).click();
    assert.match((await panel.textContent()) ?? '', /Acme Trading \(acme\)/);
    const ends = await panel.locator('time').getAttribute('datetime');
    assert.ok(Date.parse(ends ?? '') > Date.now(), `the token ends at ${ends}`);
    await visitor.screenshot('signed in, light');

    await panel.getByRole('button', { name: 'Sign out' }).click();
    await visitor.signedInAs('Not signed in');
    await visitor.openTab('Me');
    await visitor.run();
    await visitor.answers('UNAUTHENTICATED');
  });

  visit('says what is wrong at sign-in', async (visitor) => {
    await visitor.signIn('owner@acme.test', 'wrong');
    const alert = visitor.panel.getByRole('alert');
    await alert.waitFor();
    assert.equal(await alert.textContent(), 'E-mail or password is wrong.');
    await visitor.screenshot('wrong password, light');

    await visitor.panel.getByLabel('Tenant').fill('Not a slug!');
    await visitor.signIn('owner@acme.test');
    await visitor.panel.locator('[name=tenant][aria-invalid]').waitFor();
    await visitor.signedInAs('Not signed in');
  });

  visit('shows the documented schema', async (visitor) => {
    const { page } = visitor;
    await page.getByRole('button', { name: 'Show Documentation Explorer' }).click();
    const docs = page.locator('.graphiql-plugin');
    await docs.getByRole('link', { name: 'Query' }).click();
    await docs.getByText('The user who is signed in, in the tenant of the access token.', { exact: true }).waitFor();
    await docs.getByRole('link', { name: 'User', exact: true }).first().click();
    await docs.getByText('A person in one tenant.').waitFor();
    await visitor.screenshot('documentation, light');
  });

  visit(
    'is dark where the system is',
    async (visitor) => {
      await visitor.screenshot('signed out, dark');
      await visitor.signIn('trader@acme.test', 'wrong');
      await visitor.panel.getByRole('alert').waitFor();
      await visitor.screenshot('wrong password, dark');
      await visitor.signIn('trader@acme.test');
      await visitor.signedInAs('trader@acme.test');
      await visitor.run();
      await visitor.answers('trader@acme.test');
      await visitor.screenshot('me, dark');
      const bar = visitor.page.getByRole('banner');
      const background = await bar.evaluate((element) => getComputedStyle(element).backgroundColor);
      assert.equal(background, 'rgb(26, 34, 49)');
    },
    { colorScheme: 'dark' },
  );

  visit('keeps no secret in the browser', async (visitor) => {
    const { page } = visitor;
    await visitor.openTab('Login');
    await visitor.write(
      'Again',
      'mutation Again { login(input: {email: "owner@globex.test", password: "tradesage-dev"}) { accessToken refreshToken } }',
    );
    await visitor.signIn('owner@globex.test');
    await visitor.signedInAs('Globex Capital');
    await visitor.run();
    await visitor.answers('"accessToken"');
    // Tabs are kept a moment after they change.
    await page.waitForFunction(() => (localStorage.getItem('graphiql:tabState') ?? '').includes('owner@globex.test'));
    await page.waitForFunction(() => (localStorage.getItem('graphiql:queries') ?? '').includes('owner@globex.test'));
    const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
    assert.doesNotMatch(kept, /tradesage-dev/);
    assert.doesNotMatch(kept, /eyJ[\w-]{20}/, 'no token');

    await page.reload();
    await visitor.signedInAs('Not signed in');
    await page.getByRole('tab', { name: 'UpdateProfile', exact: true }).waitFor();
  });

  visit('notices that the session was ended elsewhere', async (visitor) => {
    const { page, panel } = visitor;
    await visitor.signIn('owner@acme.test');
    await visitor.signedInAs('owner@acme.test');
    await visitor.write('Out', 'mutation Out { logout { revoked } }');
    await visitor.run();
    await visitor.answers('"revoked": true');
    visitor.expected.push(401);
    await visitor.run();
    await visitor.answers('UNAUTHENTICATED');
    await panel.getByText('Your session has ended. Please sign in again.').waitFor();
    await visitor.signedInAs('Not signed in');
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  });

  // No seeded account belongs to several tenants, so the offer is written here; the
  // server judges the ticket.
  visit('lets members of several tenants choose', async (visitor) => {
    const { page, panel } = visitor;
    const tenants = [
      { slug: 'acme', name: 'Acme Trading' },
      { slug: 'globex', name: 'Globex Capital' },
    ];
    await page.route('**/graphql', async (route) => {
      if (!(route.request().postData() ?? '').includes('SignIn')) return route.fallback();
      await route.fulfill({ json: { data: { login: { tenantChoices: { ticket: 'used-before', tenants } } } } });
    });
    await visitor.signIn('owner@acme.test');
    await panel.getByRole('group', { name: 'Choose a tenant' }).waitFor();
    await visitor.screenshot('choose a tenant, light');
    const asked = page.waitForRequest((request) => (request.postData() ?? '').includes('ChooseTenant'));
    await panel.getByRole('button', { name: 'Globex Capital (globex)' }).click();
    assert.deepEqual(JSON.parse((await asked).postData() ?? '').variables, {
      input: { ticket: 'used-before', tenant: 'globex' },
    });
    await panel.getByRole('alert').waitFor();
    await visitor.signedInAs('Not signed in');
  });

  // A sign-in gets old in 15 minutes, so the first answer is written here; the server
  // judges the password, and runs the operation.
  visit('asks for the password again where a recent sign-in is needed', async (visitor) => {
    const { page, panel } = visitor;
    await visitor.signIn('owner@acme.test');
    await visitor.signedInAs('owner@acme.test');
    await visitor.write('Desk', 'mutation Desk { createRole(input: {key: "desk", name: "Desk", permissions: []}) { role { key } } }');
    await page.route(
      '**/graphql',
      (route) =>
        route.fulfill({
          json: { data: null, errors: [{ message: 'confirm first', path: ['createRole'], extensions: { code: 'STEP_UP_REQUIRED', maxAge: 900 } }] },
        }),
      { times: 1 },
    );
    await visitor.run();
    await visitor.answers('STEP_UP_REQUIRED');
    const form = panel.getByRole('form', { name: 'Confirm your password' });
    await form.getByLabel('Password').fill('not the password');
    await form.getByRole('button', { name: 'Confirm' }).click();
    await form.getByRole('alert').waitFor();
    await visitor.screenshot('confirm, light');
    await form.getByLabel('Password').fill('tradesage-dev');
    await form.getByRole('button', { name: 'Confirm' }).click();
    await form.waitFor({ state: 'detached' });
    const sent = page.waitForRequest((request) => (request.postData() ?? '').includes('createRole'));
    await visitor.run();
    await visitor.answers('"key": "desk"');
    const [, claims = ''] = ((await sent).headers()['authorization'] ?? '').split('.');
    const { auth_time: proved, iat: issued } = JSON.parse(Buffer.from(claims, 'base64url').toString());
    assert.ok(issued - proved <= 5, `proved at ${proved}, issued at ${issued}`);
  });

  visit('renews the tokens in time', async (visitor) => {
    const { page, panel } = visitor;
    await page.clock.install();
    await page.reload();
    await visitor.signIn('owner@acme.test');
    await visitor.signedInAs('owner@acme.test');
    await page.getByRole('banner').getByRole('button', { name: 'owner@acme.test' }).click();
    const end = panel.locator('time');
    const before = Date.parse((await end.getAttribute('datetime')) ?? '');
    const renewal = page.waitForResponse((response) => (response.request().postData() ?? '').includes('refreshSession'));
    await page.clock.fastForward('14:30');
    assert.equal((await renewal).status(), 200);
    await page.waitForFunction((was) => {
      const shown = document.querySelector('#account time')?.getAttribute('datetime') ?? '';
      return Date.parse(shown) > was;
    }, before);
    await visitor.run();
    await visitor.answers('Acme Trading');
  });

  visit('receives events of a subscription, and no more after sign-out', async (visitor) => {
    const { page, panel } = visitor;
    await visitor.signIn('trader@acme.test');
    await visitor.signedInAs('trader@acme.test');
    await visitor.openTab('Activity');
    const opened = page.waitForEvent('websocket');
    await visitor.run();
    const socket = await opened;
    await visitor.answers('"kind": "SUBSCRIBED"');
    await changeProfile(server.url, 'trader@acme.test');
    await visitor.answers('"action": "user.update_profile"');
    await visitor.screenshot('subscription, light');
    const closed = socket.waitForEvent('close');
    await page.getByRole('banner').getByRole('button', { name: 'trader@acme.test' }).click();
    await panel.getByRole('button', { name: 'Sign out' }).click();
    await closed;
    await page.getByRole('button', { name: /^Execute query/ }).waitFor();
  });

  visit(
    'fits a narrow screen',
    async (visitor) => {
      await visitor.screenshot('signed out, narrow');
      await visitor.signIn('owner@acme.test');
      await visitor.signedInAs('owner@acme.test');
      await visitor.run();
      await visitor.answers('Acme Trading');
      await visitor.screenshot('me, narrow');
      const overflow = await visitor.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(overflow <= 0, `${overflow} pixels beyond the screen`);
    },
    { viewport: { width: 620, height: 800 } },
  );
});
