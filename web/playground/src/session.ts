import { ApiError, call } from './api';

/** Who is signed in. */
export interface Person {
  email: string;
  displayName: string;
  tenant: { name: string; slug: string };
}

/** What the page shows of the session; the tokens are not part of it. */
export interface Shown {
  person?: Person;
  /** When the access token ends. */
  endsAt?: Date;
  /** Why there is no session any more, for people to read. */
  notice?: string;
  /** The server has asked for the password again. */
  unconfirmed?: boolean;
}

export interface Credentials {
  email: string;
  password: string;
  /** The slug of the tenant; needed by members of several. */
  tenant?: string;
}

/** The tenants of somebody who belongs to several and named none. */
export interface TenantChoices {
  /** Proves the sign-in to chooseTenant, once and for minutes. */
  ticket: string;
  tenants: { slug: string; name: string }[];
}

interface Tokens {
  access: string;
  refresh: string;
  /** Milliseconds since the epoch. */
  endsAt: number;
}

interface Issued {
  accessToken: string | null;
  refreshToken: string | null;
  expiresIn: number | null;
}

const signInOperation = /* GraphQL */ `
  mutation SignIn($input: LoginInput!) {
    login(input: $input) {
      accessToken
      refreshToken
      expiresIn
      tenantChoices { ticket tenants { slug name } }
    }
  }
`;

const chooseTenantOperation = /* GraphQL */ `
  mutation ChooseTenant($input: SwitchTenantInput!) {
    switchTenant(input: $input) { accessToken refreshToken expiresIn }
  }
`;

const whoOperation = /* GraphQL */ `
  query Who {
    me { email displayName tenant { name slug } }
  }
`;

const signOutOperation = /* GraphQL */ `
  mutation SignOut {
    logout { revoked }
  }
`;

const renewOperation = /* GraphQL */ `
  mutation Renew($refreshToken: String!) {
    refreshSession(input: { refreshToken: $refreshToken }) { accessToken refreshToken expiresIn }
  }
`;

const confirmOperation = /* GraphQL */ `
  mutation Confirm($input: ConfirmPasswordInput!) {
    confirmPassword(input: $input) { accessToken expiresIn }
  }
`;

/** A token is renewed when less than this is left of it, in milliseconds. */
const renewBefore = 60_000;

/** How long to wait after a renewal that got no answer, in milliseconds. */
const renewAgainAfter = 5_000;

/**
 * The session of the person at the page. Its tokens live in this object only:
 * they are in no storage, and closing the page forgets them.
 */
export class Session {
  #tokens?: Tokens;
  #shown: Shown = {};
  #renewal?: Promise<void>;
  #timer?: ReturnType<typeof setTimeout>;
  readonly #listeners = new Set<() => void>();

  /** Calls the listener after each change of what is shown, until it is removed. */
  readonly subscribe = (listener: () => void): (() => void) => {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  };

  /** What to show now; the same object until it changes. */
  readonly shown = (): Shown => this.#shown;

  /**
   * Signs in, or returns the tenants to choose from. It rejects with ApiError and
   * then leaves an earlier session as it was.
   */
  async signIn({ email, password, tenant }: Credentials): Promise<TenantChoices | undefined> {
    const { login } = await call<{ login: Issued & { tenantChoices: TenantChoices | null } }>(signInOperation, {
      input: { email, password, ...(tenant ? { tenant } : {}) },
    });
    if (login.tenantChoices) return login.tenantChoices;
    await this.#start(login);
    return undefined;
  }

  /** Ends a sign-in that answered choices. It rejects with ApiError. */
  async chooseTenant(ticket: string, tenant: string): Promise<void> {
    const { switchTenant } = await call<{ switchTenant: Issued }>(chooseTenantOperation, {
      input: { ticket, tenant },
    });
    await this.#start(switchTenant);
  }

  async #start(issued: Issued): Promise<void> {
    const tokens = kept(issued);
    if (!tokens) {
      throw new ApiError('This account needs a further step that the playground does not have.', 'INTERNAL');
    }
    const { me } = await call<{ me: Person }>(whoOperation, {}, tokens.access);
    this.#keep(tokens, me);
  }

  /** Ends the session at the server, and here even if the server does not answer. */
  async signOut(): Promise<void> {
    const token = this.#tokens?.access;
    this.#end();
    if (!token) return;
    try {
      await call(signOutOperation, {}, token);
    } catch (error) {
      // A session that has ended already needs no end.
      if (error instanceof ApiError && error.code === 'UNAUTHENTICATED') return;
      this.#end('You are signed out here, but the server did not confirm that it ended the session.');
    }
  }

  /** The access token to use now, renewed if it is about to end; none if nobody is signed in. */
  async accessToken(): Promise<string | undefined> {
    if (this.#tokens && this.#tokens.endsAt - Date.now() < renewBefore) await this.renew();
    return this.#tokens?.access;
  }

  /** Notes that the server has refused a token. */
  refused(token: string): void {
    if (token === this.#tokens?.access) this.#end('Your session has ended. Please sign in again.');
  }

  /** Notes that the server wants the password again for what a token was sent with. */
  stepUp(token: string): void {
    if (token === this.#tokens?.access) this.#show({ ...this.#shown, unconfirmed: true });
  }

  /** Proves the password again. It rejects with ApiError, and then all stays as it was. */
  async confirm(password: string): Promise<void> {
    const token = await this.accessToken();
    const { confirmPassword } = await call<{ confirmPassword: { accessToken: string; expiresIn: number } }>(
      confirmOperation,
      { input: { password } },
      token,
    );
    const now = this.#tokens;
    if (!now || !token) return; // signed out meanwhile
    const { accessToken, expiresIn } = confirmPassword;
    this.#keep({ access: accessToken, refresh: now.refresh, endsAt: Date.now() + expiresIn * 1000 }, this.#shown.person);
  }

  /** Replaces the tokens; callers at the same time share one renewal. */
  renew(): Promise<void> {
    this.#renewal ??= this.#renew().finally(() => (this.#renewal = undefined));
    return this.#renewal;
  }

  async #renew(): Promise<void> {
    const before = this.#tokens;
    if (!before) return;
    try {
      const { refreshSession } = await call<{ refreshSession: Issued }>(renewOperation, {
        refreshToken: before.refresh,
      });
      if (before !== this.#tokens) return; // signed out or in again meanwhile
      const after = kept(refreshSession);
      if (!after) throw new ApiError('No token came.', 'INTERNAL');
      this.#keep(after, this.#shown.person);
    } catch (error) {
      if (before !== this.#tokens) return;
      const code = error instanceof ApiError ? error.code : '';
      const refused = code === 'UNAUTHENTICATED' || code === 'FORBIDDEN';
      const left = before.endsAt - Date.now();
      if (refused || left <= 0) this.#end('Your session has ended. Please sign in again.');
      else this.#wait(Math.min(left, renewAgainAfter)); // try again while the token lives
    }
  }

  #keep(tokens: Tokens, person?: Person): void {
    this.#tokens = tokens;
    this.#wait(Math.max(tokens.endsAt - Date.now() - renewBefore, 1000));
    this.#show({ person, endsAt: new Date(tokens.endsAt) });
  }

  #wait(milliseconds: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.renew(), milliseconds);
  }

  #end(notice?: string): void {
    clearTimeout(this.#timer);
    this.#tokens = undefined;
    this.#show({ notice });
  }

  #show(shown: Shown): void {
    this.#shown = shown;
    for (const listener of this.#listeners) listener();
  }
}

/** What is kept of issued tokens; nothing if they are not whole. */
function kept({ accessToken, refreshToken, expiresIn }: Issued): Tokens | undefined {
  if (!accessToken || !refreshToken || !expiresIn) return undefined;
  return { access: accessToken, refresh: refreshToken, endsAt: Date.now() + expiresIn * 1000 };
}
