// numbers.js: how counts are written, and shown where they have moved.
const format = new Intl.NumberFormat('en');
const still = matchMedia('(prefers-reduced-motion: reduce)');

export const number = (n) => format.format(n);
export const plays = (n) => `${number(n)} ${n === 1 ? 'play' : 'plays'}`;
export const sum = (rows) => rows.reduce((all, row) => all + row.plays, 0);

// An element whose text is right is left alone; one whose number has moved lights up.
export function show(element, text) {
    const before = element.textContent;
    if (before === text) {
        return;
    }
    element.textContent = text;
    if (/\d/.test(before) && !still.matches) {
        element.animate([{ backgroundColor: 'var(--glow)', color: 'var(--text)' }, {}], { duration: 2000, easing: 'ease-out' });
    }
}
