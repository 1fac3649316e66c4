/** Put a text on the clipboard. @param {string} words @param {Node} shown where the page shows them */
export async function copy(words, shown) {
    try {
        await navigator.clipboard.writeText(words);
    } catch {
        const selection = getSelection(); // without https there is no clipboard
        selection?.selectAllChildren(shown);
        document.execCommand('copy');
        selection?.removeAllRanges();
    }
}

/** Have the browser save a text as a file. @param {string} words @param {string} ending of its name */
export function save(words, ending) {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(new Blob([words], { type: 'text/plain;charset=utf-8' }));
    link.download = `transcript.${ending}`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10_000); // not every browser has it at once
}
