// From one press of the button to the next, over as many sessions as it takes. The work is done by the speech server's
// own stt-client.js, so that there is one copy of it.

const RESTART_SECONDS = 600; // for a server that is being restarted; the recording is kept meanwhile
const DRAIN_SECONDS = 1;

/**
 * Events: `session` (`detail` is the id of the session that goes on from here), `restarted` (it is not the first),
 * `token`, `final` (`detail.text`), `speaking` (`detail`: whether), `level` (`detail` from 0 to 1), `change` (of
 * `online` or `waitingSeconds`), `unplugged`, `failed` (`detail` is the error; nothing more is recorded).
 */
export class Recording extends EventTarget {
    #client;
    #config;
    #microphone;
    #early = [];
    #session = null;
    #replacing = null;
    #abandoned = false;

    /**
     * Ask for the microphone, then for a session. Raises the errors of stt-client.js.
     * @param {object} library stt-client.js @param {string} url of the server @param {object} options of its client
     * @param {object} config the fields of a session's configuration
     */
    static async prepare({ Microphone, STTClient }, url, options, config) {
        const client = new STTClient(url, options);
        return new Recording(client, await Microphone.open(), { ...config, ...Microphone.FORMAT });
    }

    /** Use `Recording.prepare`. */
    constructor(client, microphone, config) {
        super();
        this.#client = client;
        this.#config = config;
        this.#microphone = microphone;
        this.started = Date.now();
        microphone.addEventListener('pcm', ({ detail }) => this.#take(detail));
        microphone.addEventListener('level', ({ detail }) => this.#tell('level', detail));
        microphone.addEventListener('ended', () => this.#tell('unplugged'));
    }

    /** Seconds of audio that the server has not confirmed. */
    get waitingSeconds() {
        return this.#session?.waitingSeconds ?? 0;
    }

    get online() {
        return !this.#replacing && (this.#session?.online ?? true);
    }

    /** Open the session; what was said before it is there is kept. Raises the errors of stt-client.js. */
    async open() {
        this.#use(await this.#client.createSession(this.#config));
    }

    /** Stop. Returns when the server has recognised everything. Raises what made that impossible. */
    async finish() {
        await this.#microphone.close();
        for (;;) {
            try {
                return await this.#session.finish();
            } catch (error) {
                if (!this.#replacing) throw error;
                await this.#replacing;
            }
        }
    }

    /** Stop at once, whatever the server still lacks. */
    async abandon() {
        this.#abandoned = true;
        this.#session?.close();
        await this.#microphone.close();
    }

    #take(pcm) {
        if (!this.#session) this.#early.push(pcm);
        else if (!this.#abandoned) this.#send(pcm);
    }

    #send(bytes) {
        try {
            this.#session.send(bytes);
        } catch (error) {
            this.#tell('failed', error);
        }
    }

    #use(session) {
        this.#session = session;
        for (const type of ['token', 'final']) {
            session.addEventListener(type, ({ detail }) => this.#tell(type, detail));
        }
        session.addEventListener('speech_start', () => this.#tell('speaking', true));
        session.addEventListener('speech_end', () => this.#tell('speaking', false));
        session.addEventListener('connection', () => this.#tell('change'));
        session.addEventListener('progress', () => this.#tell('change'));
        session.addEventListener('failed', ({ detail }) => this.#onFailed(session, detail));
        this.#tell('session', session.id);
        for (const pcm of this.#early.splice(0)) this.#send(pcm);
    }

    /** A server that was restarted does not know the session: go on in another one, from the last final on. */
    #onFailed(session, error) {
        if (error.code !== 'session_lost' && error.document?.reason !== 'server_shutdown') {
            this.#tell('failed', error);
            return;
        }
        this.#replacing = this.#replace(session).finally(() => (this.#replacing = null));
        this.#replacing.catch((refused) => this.#tell('failed', refused));
        this.#tell('change');
    }

    async #replace(lost) {
        const session = await this.#openWhenBack();
        const { audio } = lost.unrecognized();
        this.#use(session);
        if (audio.length) this.#send(audio);
        this.#tell('restarted');
    }

    async #openWhenBack() {
        for (;;) {
            try {
                return await this.#client.createSession(this.#config, { giveUpSeconds: RESTART_SECONDS });
            } catch (error) {
                if (error.code !== 'draining' || this.#abandoned) throw error;
                await new Promise((resume) => setTimeout(resume, DRAIN_SECONDS * 1000));
            }
        }
    }

    #tell(type, detail) {
        this.dispatchEvent(new CustomEvent(type, { detail }));
    }
}
