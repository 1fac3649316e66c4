import { text } from './texts.js';

/** @typedef {{label: string, action: () => void}} Way what a person can do about it */

/** The one message of the page, with a way out where there is one. */
export class Notice {
    #page;
    /** @type {{key: string, values: Record<string, any>, way: Way | null} | null} */
    #said = null;

    /** @param {{box: HTMLElement, remedy: HTMLElement, dismiss: HTMLElement, next: HTMLElement}} page `next` gets the focus of what is hidden */
    constructor(page) {
        this.#page = page;
        page.remedy.onclick = () => this.remedy?.();
        page.dismiss.onclick = () => this.dismiss();
    }

    /** The key of the text that is shown. */
    get key() {
        return this.#said?.key;
    }

    /** What the button of the message does. */
    get remedy() {
        return this.#said?.way?.action;
    }

    /** @param {string} key of a text @param {Record<string, any>} [values] @param {Way | null} [way] */
    say(key, values = {}, way = null) {
        const { box, remedy } = this.#page;
        this.#said = { key, values, way };
        /** @type {Element} */ (box.firstElementChild).textContent = text(key, values);
        box.hidden = false;
        remedy.hidden = !way;
        remedy.textContent = way ? text(way.label) : '';
    }

    /** Say it again, in the language that the page has now. */
    translate() {
        if (this.#said) this.say(this.#said.key, this.#said.values, this.#said.way);
    }

    dismiss() {
        const { box, next } = this.#page;
        if (box.contains(document.activeElement)) next.focus(); // what is hidden can't keep it
        box.hidden = true;
        this.#said = null;
    }
}
