/**
 * Push-to-talk: a button that is held, or the space bar where no control has the focus; Enter there asks for the text.
 * @param {HTMLElement} button
 * @param {object} react
 * @param {() => boolean} react.isHoldable false: the button is an ordinary one, and Space is left to the page
 * @param {() => void} react.hold
 * @param {() => void} react.release
 * @param {() => void} react.flush
 */
export function listenForTalk(button, { isHoldable, hold, release, flush }) {
    let isHeld = false;
    const begin = () => {
        if (isHeld || !isHoldable()) return false;
        isHeld = true;
        hold();
        return true;
    };
    const end = () => {
        if (!isHeld) return;
        isHeld = false;
        release();
    };
    button.addEventListener('pointerdown', (event) => {
        if (event.button === 0 && begin()) button.setPointerCapture(event.pointerId);
    });
    for (const type of ['pointerup', 'pointercancel', 'lostpointercapture']) button.addEventListener(type, end);
    button.addEventListener('contextmenu', (event) => event.preventDefault()); // what a long touch opens
    button.addEventListener('click', () => isHoldable() || flush());
    addEventListener('keydown', (event) => {
        if (event.ctrlKey || event.altKey || event.metaKey) return;
        const isFree = document.activeElement === document.body;
        const isOnButton = document.activeElement === button && isHoldable();
        if (event.key === ' ' && (isFree || isOnButton)) {
            if (isHoldable()) event.preventDefault(); // or the page scrolls
            if (!event.repeat) begin();
        } else if (event.key === 'Enter' && isFree && !event.repeat) {
            flush();
        }
    });
    addEventListener('keyup', (event) => {
        if (event.key !== ' ' || !isHeld) return;
        event.preventDefault();
        end();
    });
    addEventListener('blur', end); // the key is let go elsewhere
}
