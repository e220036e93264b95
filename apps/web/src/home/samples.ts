/** Knows: the pictures that ship with the page, and whose they are; see public/samples/LICENSES.md. */

export interface Sample {
  readonly file: string;
  readonly title: string;
  /** where the subject is, as object-position */
  readonly focus: string;
  /** an idea of what to drag */
  readonly idea: string;
  readonly author: string;
  readonly license: string;
  readonly licenseUrl: string;
}

const CC_BY = { license: 'CC BY 4.0', licenseUrl: 'https://creativecommons.org/licenses/by/4.0/' } as const;

export const SAMPLES: readonly Sample[] = [
  { file: 'dogs.jpg', title: 'Spaniels', focus: '30% 40%', idea: 'Turn a head', author: 'Aitzol Berasategi', ...CC_BY },
  {
    file: 'dandelion.jpg',
    title: 'Dandelion',
    focus: '22% 30%',
    idea: 'Lift the clock',
    author: 'Clemens Engelhardt',
    license: 'CC0',
    licenseUrl: 'https://creativecommons.org/publicdomain/zero/1.0/',
  },
  { file: 'fig.jpg', title: 'Fig', focus: '45% 60%', idea: 'Stretch the bowl', author: 'Trevor “Freespace”', ...CC_BY },
  {
    file: 'summit.jpg',
    title: 'Summit',
    focus: '75% 40%',
    idea: 'Raise the peak',
    author: 'Aitzol Berasategi',
    ...CC_BY,
  },
];
