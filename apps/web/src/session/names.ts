/** Knows: friendly names for guests who have not said theirs. */

const FIRST = [
  'Amber',
  'Brisk',
  'Coral',
  'Dapper',
  'Early',
  'Fern',
  'Gentle',
  'Hazel',
  'Indigo',
  'Jolly',
  'Keen',
  'Linen',
  'Merry',
  'Nimble',
  'Olive',
  'Plucky',
  'Quiet',
  'Rosy',
  'Sunny',
  'Tidal',
];
const SECOND = [
  'Badger',
  'Crane',
  'Dormouse',
  'Egret',
  'Finch',
  'Gecko',
  'Heron',
  'Ibis',
  'Jackdaw',
  'Kestrel',
  'Lynx',
  'Marten',
  'Newt',
  'Otter',
  'Puffin',
  'Quail',
  'Robin',
  'Stoat',
  'Tern',
  'Wren',
];

/** Two words, one of four hundred names. */
export function friendlyName(random: () => number = Math.random): string {
  const pick = (words: readonly string[]) => words[Math.floor(random() * words.length)] ?? '';
  return `${pick(FIRST)} ${pick(SECOND)}`;
}

/** "Amber Finch" → "AF" */
export function initials(name: string): string {
  const words = name.trim().split(/\s+/);
  return ((words[0]?.[0] ?? '?') + (words.length > 1 ? (words[words.length - 1]?.[0] ?? '') : '')).toUpperCase();
}
