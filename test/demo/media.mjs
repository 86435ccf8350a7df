// media.mjs: node media.mjs DIRECTORY KEY...: a little tune for each track.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { wav } from '../web/tone.js';

const [directory, ...keys] = process.argv.slice(2);
const scale = [0, 3, 5, 7, 10, 12, 15]; // minor pentatonic, in semitones
const beat = 0.3;

// Plucked notes of a scale, which fade; the same for the same track.
function tune(seed) {
    const root = 110 * 2 ** ((seed * 5 % 12) / 12);
    const notes = Array.from({ length: 16 }, (_, i) => root * 2 ** (1 + scale[(seed * (i % 4 + 3) + i * i) % scale.length] / 12));
    return (t) => {
        const i = Math.floor(t / beat);
        const since = t % beat;
        const pluck = Math.min(1, since * 100) * Math.exp(-5 * since) * Math.sin(2 * Math.PI * notes[i % notes.length] * t);
        const drone = Math.sin(2 * Math.PI * root * t);
        return 0.55 * pluck + 0.2 * drone;
    };
}

keys.forEach((key, i) => writeFileSync(join(directory, `${key}.wav`), wav(15 + i % 20, tune(i + 1))));
