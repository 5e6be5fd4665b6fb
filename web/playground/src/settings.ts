/** An account that a development server offers to sign in with. */
export interface Account {
  email: string;
  password: string;
  role: string;
  tenant: string;
}

/** Asks the server which accounts it offers: none, outside development. */
export async function offeredAccounts(): Promise<Account[]> {
  const response = await fetch(`${import.meta.env.BASE_URL}settings.json`, { cache: 'no-store' });
  if (!response.ok) return [];
  return ((await response.json()) as { accounts: Account[] }).accounts;
}
