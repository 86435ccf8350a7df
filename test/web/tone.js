// tone.js: sounds to play, made here, so that none need be shipped.

const rate = 8000;

// A WAV file of one channel, 8 bits, 8 kHz: wave tells its height, from -1 to 1, at
// a time in seconds.
export function wav(seconds, wave) {
    const samples = Math.round(seconds * rate);
    const file = Buffer.alloc(44 + samples);
    file.write('RIFF', 0);
    file.writeUInt32LE(36 + samples, 4);
    file.write('WAVEfmt ', 8);
    file.writeUInt32LE(16, 16); // what follows of this chunk
    file.writeUInt16LE(1, 20); // PCM
    file.writeUInt16LE(1, 22); // channels
    file.writeUInt32LE(rate, 24);
    file.writeUInt32LE(rate, 28); // bytes a second
    file.writeUInt16LE(1, 32); // bytes a sample
    file.writeUInt16LE(8, 34); // bits a sample
    file.write('data', 36);
    file.writeUInt32LE(samples, 40);
    for (let i = 0; i < samples; i++) {
        file[44 + i] = 128 + Math.round(120 * wave(i / rate));
    }
    return file;
}

export const tone = (seconds, hertz) => wav(seconds, (t) => 0.5 * Math.sin(2 * Math.PI * hertz * t));
