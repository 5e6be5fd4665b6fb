import { GraphiQL } from 'graphiql';
import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { Confirm } from './Confirm';
import { createFetcher } from './fetcher';
import icon from './icon.svg';
import { offeredAccounts, type Account } from './settings';
import type { Session } from './session';
import { SignedIn } from './SignedIn';
import { SignIn } from './SignIn';
import { carefulStorage } from './storage';
import { defaultTabs } from './tabs';

/** The page: a bar, GraphiQL, and at the right a panel on who is signed in. */
export function App({ session }: { session: Session }) {
  const { person, endsAt, notice, unconfirmed } = useSyncExternalStore(session.subscribe, session.shown);
  const [fetcher] = useState(() => createFetcher(session));
  const [accounts, setAccounts] = useState<Account[]>([]);
  const [open, setOpen] = useState(true);
  const toggle = useRef<HTMLButtonElement>(null);

  useEffect(() => void offeredAccounts().then(setAccounts, () => setAccounts([])), []);
  useEffect(() => {
    if (notice || unconfirmed) setOpen(true);
  }, [notice, unconfirmed]);

  /** Makes room for the editors, and leaves the focus where the panel can be had back. */
  const makeRoom = () => {
    setOpen(false);
    toggle.current?.focus();
  };

  return (
    <div className="page">
      <header className="bar">
        <h1>
          <img src={icon} alt="" width="24" height="24" /> TradeSage <span>Playground</span>
        </h1>
        <nav aria-label="More">
          <a href="/schema.graphql" target="_blank" rel="noreferrer">
            Schema
          </a>
          {accounts.length > 0 && (
            <a href="/dev/mail" target="_blank" rel="noreferrer">
              Mail
            </a>
          )}
          <a href={`${import.meta.env.BASE_URL}licences.txt`} target="_blank" rel="noreferrer">
            Licences
          </a>
        </nav>
        <button
          ref={toggle}
          type="button"
          className="who"
          aria-expanded={open}
          aria-controls="account"
          onClick={() => setOpen(!open)}
        >
          <span className={person ? 'dot on' : 'dot'} aria-hidden="true" />
          {person ? (
            <span>
              {person.email} <span className="soft">· {person.tenant.name}</span>
            </span>
          ) : (
            <span>Not signed in</span>
          )}
        </button>
      </header>
      <div className="body">
        <main aria-label="GraphiQL">
          <GraphiQL
            fetcher={fetcher}
            defaultTabs={defaultTabs}
            storage={carefulStorage}
            shouldPersistHeaders={false}
            defaultEditorToolsVisibility
          >
            <GraphiQL.Logo>
              <span />
            </GraphiQL.Logo>
          </GraphiQL>
        </main>
        <aside id="account" className="account" aria-label="Account" hidden={!open}>
          {person && endsAt ? (
            <>
              {unconfirmed && <Confirm session={session} email={person.email} onConfirmed={makeRoom} />}
              <SignedIn session={session} person={person} endsAt={endsAt} />
            </>
          ) : (
            <SignIn session={session} accounts={accounts} notice={notice} onSignedIn={makeRoom} />
          )}
        </aside>
      </div>
    </div>
  );
}
