/**
 * Knows: who this browser is: a guest account made on the first need, its token and the name that others see.
 * Does not know: canvases, React. Everything that talks to the api as somebody goes through {@link call}.
 */

import { createStore } from 'zustand/vanilla';
import { hasCode, send } from '@/api/client';
import { SignInAsGuest, Viewer } from '@/api/operations';
import type { PersonPartsFragment, TypedDocumentString } from '@/generated/graphql';
import { friendlyName } from './names';

export type Person = PersonPartsFragment;

interface GuestState {
  readonly token: string | null;
  readonly user: Person | null;
  /** what others see; chosen by the person, or made up */
  readonly name: string;
}

const TOKEN_KEY = 'tug.token';
const NAME_KEY = 'tug.name';

export const guest = createStore<GuestState>(() => ({ token: null, user: null, name: '' }));

let signingIn: Promise<GuestState> | null = null;

/** Reads what this browser remembers; call it once the page runs in a browser. */
export function recallGuest(): GuestState {
  const state = guest.getState();
  if (state.name) return state;
  const name = localStorage.getItem(NAME_KEY) || friendlyName();
  localStorage.setItem(NAME_KEY, name);
  guest.setState({ token: localStorage.getItem(TOKEN_KEY), name });
  return guest.getState();
}

/** The signed-in guest; makes the account if there is none yet. */
export async function ensureGuest(): Promise<GuestState & { token: string; user: Person }> {
  const state = recallGuest();
  if (state.token && state.user) return { ...state, token: state.token, user: state.user };
  signingIn ??= signIn().finally(() => {
    signingIn = null;
  });
  const signedIn = await signingIn;
  if (!signedIn.token || !signedIn.user) throw new Error('signing in gave no account');
  return { ...signedIn, token: signedIn.token, user: signedIn.user };
}

/** Sends an operation as the guest. A session that ended is replaced once by a new one. */
export async function call<T, V>(document: TypedDocumentString<T, V>, variables: V): Promise<T> {
  const { token } = await ensureGuest();
  try {
    return await send(document, variables, token);
  } catch (error) {
    if (!hasCode(error, 'UNAUTHENTICATED')) throw error;
    forget();
    return send(document, variables, (await ensureGuest()).token);
  }
}

/** Changes the name that others see on cursors and avatars, from now on. */
export function renameGuest(name: string): void {
  const clean = name.trim().slice(0, 40);
  if (!clean) return;
  localStorage.setItem(NAME_KEY, clean);
  guest.setState({ name: clean });
}

async function signIn(): Promise<GuestState> {
  const { token, name } = guest.getState();
  if (token) {
    const { viewer } = await send(Viewer, {}, token).catch((error: unknown) => {
      if (hasCode(error, 'UNAUTHENTICATED')) return { viewer: null };
      throw error;
    });
    if (viewer) {
      guest.setState({ user: viewer });
      return guest.getState();
    }
  }
  const { signInAsGuest } = await send(SignInAsGuest, { name }, null);
  localStorage.setItem(TOKEN_KEY, signInAsGuest.token);
  guest.setState({ token: signInAsGuest.token, user: signInAsGuest.user });
  return guest.getState();
}

function forget(): void {
  localStorage.removeItem(TOKEN_KEY);
  guest.setState({ token: null, user: null });
}
