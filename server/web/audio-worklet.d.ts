// What the audio thread of a browser has, and TypeScript's libraries lack.

declare const sampleRate: number;

declare class AudioWorkletProcessor {
    readonly port: MessagePort;
}

declare function registerProcessor(name: string, processor: new (options: any) => AudioWorkletProcessor): void;
