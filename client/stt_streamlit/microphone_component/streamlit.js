// What a Streamlit component says to its page and hears from it.

/** @param {string} type @param {object} [message] */
function say(type, message = {}) {
    window.parent.postMessage({ isStreamlitMessage: true, type: `streamlit:${type}`, ...message }, '*');
}

/** Give the script a value, which makes it run again. @param {object} value */
export function setValue(value) {
    say('setComponentValue', { value, dataType: 'json' });
}

/**
 * Begin. `draw` is called with the script's arguments each time it has run; the frame keeps the height of its content.
 * @param {(args: any) => void} draw
 */
export function connect(draw) {
    window.addEventListener('message', ({ data, source }) => {
        if (source !== window.parent || data?.type !== 'streamlit:render') return;
        wear(data.theme);
        draw(data.args);
    });
    new ResizeObserver(() => {
        const height = document.body.offsetHeight;
        if (height) say('setFrameHeight', { height: height + 4 });
    }).observe(document.body);
    say('componentReady', { apiVersion: 1 });
}

/** @param {Record<string, string> | undefined} theme */
function wear(theme) {
    if (!theme) return;
    const { style } = document.documentElement;
    style.setProperty('--text', theme.textColor);
    style.setProperty('--surface', theme.secondaryBackgroundColor);
    style.setProperty('--accent', theme.primaryColor);
    style.setProperty('--font', theme.font);
}
