import { useId, useState, type FormEvent } from 'react';
import { ApiError, sentence } from './api';
import type { Session } from './session';

interface ConfirmProps {
  session: Session;
  email: string;
  onConfirmed: () => void;
}

/** Asks for the password again, for what takes a recent sign-in. */
export function Confirm({ session, email, onConfirmed }: ConfirmProps) {
  const [password, setPassword] = useState('');
  const [error, setError] = useState<string>();
  const [busy, setBusy] = useState(false);
  const id = useId();

  const confirm = async (event: FormEvent) => {
    event.preventDefault();
    setBusy(true);
    setError(undefined);
    try {
      await session.confirm(password);
      onConfirmed(); // the form is gone
    } catch (reason) {
      setError(reason instanceof ApiError ? reason.message : String(reason));
      setBusy(false);
    }
  };

  return (
    <form onSubmit={(event) => void confirm(event)} aria-labelledby={`${id}-title`}>
      <h2 id={`${id}-title`}>Confirm your password</h2>
      <p className="notice" role="status">
        This takes a recent sign-in. Confirm your password, then send the operation again.
      </p>
      <input type="hidden" name="email" autoComplete="username" value={email} readOnly />
      <label htmlFor={`${id}-password`}>Password</label>
      <input
        id={`${id}-password`}
        name="password"
        type="password"
        autoComplete="current-password"
        required
        autoFocus
        value={password}
        aria-invalid={error !== undefined || undefined}
        aria-describedby={error ? `${id}-error` : undefined}
        onChange={(event) => setPassword(event.target.value)}
      />
      {error && (
        <p className="error" role="alert" id={`${id}-error`}>
          {sentence(error)}
        </p>
      )}
      <button type="submit" className="primary" disabled={busy}>
        {busy ? 'Confirming …' : 'Confirm'}
      </button>
    </form>
  );
}
