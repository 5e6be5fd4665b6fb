import { useId, useRef, useState, type FormEvent } from 'react';
import { ApiError, sentence } from './api';
import type { Session, TenantChoices } from './session';
import type { Account } from './settings';

interface SignInProps {
  session: Session;
  /** Accounts that can be filled in with one click. */
  accounts: Account[];
  /** Why signing in is needed again. */
  notice?: string;
  onSignedIn: () => void;
}

/** The form with which a session starts. */
export function SignIn({ session, accounts, notice, onSignedIn }: SignInProps) {
  const [email, setEmail] = useState('');
  const [password, setPassword] = useState('');
  const [tenant, setTenant] = useState('');
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  const [choices, setChoices] = useState<TenantChoices>();
  const submit = useRef<HTMLButtonElement>(null);
  const id = useId();

  /** Takes a step of signing in, and shows what comes of it. */
  const attempt = async (step: () => Promise<TenantChoices | void>) => {
    setBusy(true);
    setError(undefined);
    setChoices(undefined);
    try {
      const offered = await step();
      if (!offered) {
        onSignedIn();
        return; // the panel is replaced
      }
      setChoices(offered);
    } catch (reason) {
      setError(reason instanceof ApiError ? reason : new ApiError(String(reason), 'INTERNAL'));
    }
    setBusy(false);
  };

  const signIn = (event: FormEvent) => {
    event.preventDefault();
    void attempt(() => session.signIn({ email: email.trim(), password, tenant: tenant.trim() }));
  };

  const fill = (account: Account) => {
    setEmail(account.email);
    setPassword(account.password);
    setTenant(account.tenant);
    setError(undefined);
    submit.current?.focus();
  };

  /** What ties an input to its label and to an error that concerns it. */
  const field = (name: string) => ({
    id: `${id}-${name}`,
    name,
    'aria-invalid': error?.field === `input.${name}` || undefined,
    'aria-describedby': error ? `${id}-error` : undefined,
  });

  return (
    <>
      <form onSubmit={signIn}>
        <h2>Sign in</h2>
        {notice && !error && (
          <p className="notice" role="status">
            {notice}
          </p>
        )}
        <label htmlFor={`${id}-email`}>E-mail</label>
        <input
          {...field('email')}
          type="email"
          autoComplete="username"
          required
          value={email}
          onChange={(event) => setEmail(event.target.value)}
        />
        <label htmlFor={`${id}-password`}>Password</label>
        <input
          {...field('password')}
          type="password"
          autoComplete="current-password"
          required
          value={password}
          onChange={(event) => setPassword(event.target.value)}
        />
        <label htmlFor={`${id}-tenant`}>
          Tenant <span className="soft">(optional)</span>
        </label>
        <input
          {...field('tenant')}
          type="text"
          autoComplete="organization"
          autoCapitalize="none"
          spellCheck={false}
          placeholder="acme"
          value={tenant}
          onChange={(event) => setTenant(event.target.value)}
        />
        {error && (
          <p className="error" role="alert" id={`${id}-error`}>
            {sentence(error.message)}
          </p>
        )}
        <button ref={submit} type="submit" className="primary" disabled={busy}>
          {busy ? 'Signing in …' : 'Sign in'}
        </button>
        {choices && (
          <fieldset>
            <legend>Choose a tenant</legend>
            {choices.tenants.map(({ slug, name }, index) => (
              <button
                key={slug}
                type="button"
                autoFocus={index === 0}
                disabled={busy}
                onClick={() => void attempt(() => session.chooseTenant(choices.ticket, slug))}
              >
                {name} <span className="soft">({slug})</span>
              </button>
            ))}
          </fieldset>
        )}
        <p className="soft">
          The tokens stay in the memory of this page: reloading it signs you out here.
        </p>
      </form>
      {accounts.length > 0 && (
        <section aria-labelledby={`${id}-accounts`}>
          <h2 id={`${id}-accounts`}>Accounts of this server</h2>
          <ul className="accounts">
            {accounts.map((account) => (
              <li key={account.email}>
                <button type="button" onClick={() => fill(account)}>
                  {account.email}
                  <span className="soft">
                    {account.role} of {account.tenant}
                  </span>
                </button>
              </li>
            ))}
          </ul>
        </section>
      )}
    </>
  );
}
