import { recall, remember } from './memory.js';
import { language as pageLanguage, text } from './texts.js';

const FIRST = ['ko', 'en', 'multi'];

/** The choice of the engine, and of the languages that it knows. */
export class Settings {
    #language;
    #engine;
    /** @type {Record<string, {languages: string[]}>} */
    #engines = {};

    /** @param {{language: HTMLSelectElement, engine: HTMLSelectElement}} page */
    constructor({ language, engine }) {
        this.#language = language;
        this.#engine = engine;
        language.onchange = () => remember('language', language.value);
        engine.onchange = () => {
            remember('engine', engine.value);
            this.#fillLanguages();
        };
    }

    /** The fields of a session's configuration. */
    get config() {
        return { language: this.#language.value, engine: this.#engine.value };
    }

    /** @param {Record<string, {languages: string[]}>} [engines] as in `/info` */
    fill(engines = {}) {
        this.#engines = engines;
        const options = [['auto', text('auto')], ...Object.keys(engines).map((name) => [name, name])];
        fill(this.#engine, options, recall('engine'));
        this.#fillLanguages();
    }

    #fillLanguages() {
        const engine = this.#engine.value;
        const chosen = engine === 'auto' ? Object.values(this.#engines) : [this.#engines[engine]];
        const tags = new Set(chosen.flatMap((each) => each.languages));
        const ours = navigator.language.split('-')[0];
        if (!tags.size) tags.add(ours).add('ko');
        const names = new Intl.DisplayNames([pageLanguage], { type: 'language' });
        const named = [...tags].map((tag) => [tag, tag === 'multi' ? text('detect') : nameOf(names, tag)]);
        const place = (/** @type {string} */ tag) => FIRST.indexOf(tag) + 1 || 9;
        named.sort(([a, nameA], [b, nameB]) => place(a) - place(b) || nameA.localeCompare(nameB, pageLanguage));
        const preferred = [recall('language'), this.#language.value, ours, 'ko'];
        fill(this.#language, named, preferred.find((tag) => tag !== null && tags.has(tag)));
    }
}

/** @param {Intl.DisplayNames} names @param {string} tag @returns {string} */
function nameOf(names, tag) {
    try {
        return names.of(tag) ?? tag;
    } catch {
        return tag;
    }
}

/** @param {HTMLSelectElement} select @param {string[][]} options @param {string | null | undefined} chosen */
function fill(select, options, chosen) {
    select.replaceChildren(...options.map(([value, name]) => new Option(name, value)));
    if (chosen && options.some(([value]) => value === chosen)) select.value = chosen;
}
