// What the browser remembers of the settings; nothing where the user forbids it. No text is ever kept.

export function recall(name) {
    try {
        return localStorage.getItem(`stt-${name}`);
    } catch {
        return null;
    }
}

export function remember(name, value) {
    try {
        localStorage.setItem(`stt-${name}`, value);
    } catch {
        // then not
    }
}
