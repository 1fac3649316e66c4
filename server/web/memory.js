// What the browser remembers of the settings; nothing where the user forbids it. No text is ever kept.

/** @param {string} name @returns {string | null} */
export function recall(name) {
    try {
        return localStorage.getItem(`stt-${name}`);
    } catch {
        return null;
    }
}

/** @param {string} name @param {string} value */
export function remember(name, value) {
    try {
        localStorage.setItem(`stt-${name}`, value);
    } catch {
        // then not
    }
}
