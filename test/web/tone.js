// tone.js: sounds to play, made here, so that none need be shipped.

// A sine tone as a WAV file: one channel, 8 bits, 8 kHz.
export function tone(seconds, hertz) {
    const rate = 8000;
    const samples = Math.round(seconds * rate);
    const wav = Buffer.alloc(44 + samples);
    wav.write('RIFF', 0);
    wav.writeUInt32LE(36 + samples, 4);
    wav.write('WAVEfmt ', 8);
    wav.writeUInt32LE(16, 16); // what follows of this chunk
    wav.writeUInt16LE(1, 20); // PCM
    wav.writeUInt16LE(1, 22); // channels
    wav.writeUInt32LE(rate, 24);
    wav.writeUInt32LE(rate, 28); // bytes a second
    wav.writeUInt16LE(1, 32); // bytes a sample
    wav.writeUInt16LE(8, 34); // bits a sample
    wav.write('data', 36);
    wav.writeUInt32LE(samples, 40);
    for (let i = 0; i < samples; i++) {
        wav[44 + i] = 128 + Math.round(60 * Math.sin((2 * Math.PI * hertz * i) / rate));
    }
    return wav;
}
