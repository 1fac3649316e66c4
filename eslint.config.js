import js from '@eslint/js';
import globals from 'globals';

export default [
    { ignores: ['**/types/', '.venv/', 'docs/'] },
    js.configs.recommended,
    {
        languageOptions: { globals: globals.browser },
        linterOptions: { reportUnusedDisableDirectives: 'error' },
        rules: { 'prefer-const': 'error', eqeqeq: 'error', 'no-var': 'error' },
    },
    { files: ['**/*.mjs', 'eslint.config.js'], languageOptions: { globals: globals.node } },
    // what a page of its own brings to the flow of the quick start
    { files: ['tests/server/original_flow.mjs'], languageOptions: { globals: { pcm16Buffer: 'readonly' } } },
    {
        files: ['**/pcm-worklet.js', '**/pcm_worklet.test.mjs'],
        languageOptions: { globals: globals.audioWorklet },
    },
];
