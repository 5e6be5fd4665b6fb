import { useState } from 'react';
import type { Person, Session } from './session';

const clock = new Intl.DateTimeFormat(undefined, { timeStyle: 'medium' });

/** Who is signed in, until when, and how to end it. */
export function SignedIn({ session, person, endsAt }: { session: Session; person: Person; endsAt: Date }) {
  const [busy, setBusy] = useState(false);

  const signOut = async () => {
    setBusy(true);
    await session.signOut(); // the panel is replaced
  };

  return (
    <>
      <h2>Signed in</h2>
      <dl>
        <dt>User</dt>
        <dd>
          {person.displayName && <>{person.displayName} · </>}
          {person.email}
        </dd>
        <dt>Tenant</dt>
        <dd>
          {person.tenant.name} <span className="soft">({person.tenant.slug})</span>
        </dd>
        <dt>Access token ends</dt>
        <dd>
          <time dateTime={endsAt.toISOString()}>{clock.format(endsAt)}</time>
        </dd>
      </dl>
      <button type="button" className="primary" disabled={busy} onClick={() => void signOut()}>
        Sign out
      </button>
      <p className="soft">
        Operations and subscriptions are sent as this user. Write an Authorization header under “Headers” to send one
        as somebody else.
      </p>
    </>
  );
}
