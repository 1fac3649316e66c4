/**
 * Take files that are dropped anywhere on the page.
 * @param {HTMLElement} sign shown while a file is held over the page
 * @param {(file: File | undefined) => void} take
 */
export function listenForDrop(sign, take) {
    addEventListener('dragover', (event) => {
        if (!event.dataTransfer?.types.includes('Files')) return;
        event.preventDefault();
        sign.hidden = false;
    });
    addEventListener('dragleave', (event) => {
        if (!event.relatedTarget) sign.hidden = true;
    });
    addEventListener('drop', (event) => {
        event.preventDefault();
        sign.hidden = true;
        take(event.dataTransfer?.files[0]);
    });
}
