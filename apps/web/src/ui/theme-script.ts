/** Knows: how the page gets its colours before the first paint. Also imported by the layout, which runs at build time. */

export const THEME_KEY = 'tug.theme';

export const THEME_SCRIPT = `(function(){try{var c=localStorage.getItem('${THEME_KEY}');var d=matchMedia('(prefers-color-scheme: dark)');var f=function(){var t=localStorage.getItem('${THEME_KEY}')||c;document.documentElement.dataset.theme=t==='light'||t==='dark'?t:d.matches?'dark':'light'};f();d.addEventListener('change',f)}catch(e){document.documentElement.dataset.theme='light'}})()`;
