/** The look of the widget. A constructed sheet, since a strict Content-Security-Policy refuses style elements. */
export const css = `
:host { display: block; }
.card { all: initial; --ink: #1b1f24; --soft: #59636e; --line: #848d97; --edge: #d1d9e0; --paper: #fff; --card: #f6f8fa;
  --accent: #0b5cad; --bad: #b3261e; --good: #1a7f37; display: block; box-sizing: border-box; width: 100%; max-width: 302px;
  overflow: hidden; border: 1px solid var(--edge); border-radius: 8px; font: 15px/1.35 system-ui, sans-serif;
  color: var(--ink); background: var(--card); color-scheme: light; text-align: start; -webkit-text-size-adjust: 100%; }
.card.dark { --ink: #e8ebee; --soft: #a3adb8; --line: #768390; --edge: #444c56; --paper: #161b22; --card: #1f262e;
  --accent: #79b8ff; --bad: #ff8a80; --good: #6fdd8b; color-scheme: dark; }
.card.compact { max-width: 232px; font-size: 14px; }
.card.flexible { max-width: none; }
.frame { position: relative; display: grid; place-items: center; aspect-ratio: 5 / 2; overflow: hidden;
  border-bottom: 1px solid var(--edge); background: var(--paper); }
.flexible .frame { aspect-ratio: auto; height: 120px; }
.frame > * { grid-area: 1 / 1; }
img { position: absolute; inset: 0; margin: auto; max-width: 100%; max-height: 100%; }
.dark img { filter: invert(0.88); }
.body { display: grid; gap: 8px; padding: 8px 10px 0; }
.row { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; }
.head { flex-wrap: nowrap; gap: 2px; min-height: 44px; }
p { margin: 0; overflow-wrap: anywhere; }
#prompt { flex: 1; min-width: 0; line-height: 1.25; }
input, button { box-sizing: border-box; min-height: 44px; margin: 0; border: 1px solid var(--line); border-radius: 6px;
  font: inherit; color: var(--ink); background: var(--paper); }
input { flex: 100 1 120px; min-width: 0; width: 100%; padding: 0 10px; font: 17px ui-monospace, monospace; letter-spacing: 0.12em; }
input::placeholder { font: 14px system-ui, sans-serif; letter-spacing: 0; color: var(--soft); opacity: 1; }
[dir="rtl"] input { text-align: right; }
input[aria-invalid] { border-color: var(--bad); }
button { flex: none; min-width: 44px; max-width: calc(100% - 16px); padding: 4px; border-color: transparent; background: none;
  font-weight: 600; font-size: 14px; cursor: pointer; }
.icon:hover { background: color-mix(in srgb, currentColor 10%, transparent); }
.check { flex: 1 0 auto; max-width: 100%; }
.check, .retry { padding: 4px 16px; color: var(--paper); background: var(--accent); }
.check:hover, .retry:hover { background: color-mix(in srgb, var(--accent) 85%, var(--ink)); }
svg { display: block; width: 20px; height: 20px; margin: auto; fill: none; stroke: currentColor; stroke-width: 1.8;
  stroke-linecap: round; stroke-linejoin: round; }
:focus { outline: none; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: -1px; }
.check:focus-visible, .retry:focus-visible { outline-offset: 2px; }
:disabled, [aria-disabled="true"] { opacity: 0.55; cursor: default; }
.line { display: flex; align-items: center; gap: 8px; min-height: 10px; padding: 0 10px; }
#status { flex: 1; font-size: 14px; }
#status:not(:empty) { margin: 6px 0 10px; }
#status.bad { color: var(--bad); }
.tick { flex: none; width: 24px; height: 24px; margin: 0; stroke-width: 2.4; color: var(--good); }
.line .again { margin-inline-end: -6px; color: var(--soft); }
.solved .line { min-height: 52px; }
.solved #status { margin: 0; padding: 4px 0; font-weight: 600; font-size: 15px; border-radius: 4px; }
.spinner { width: 28px; height: 28px; box-sizing: border-box; border: 3px solid var(--edge); border-block-start-color: var(--accent);
  border-radius: 50%; }
.card:not(.loading) .spinner, .card:not(.ready) img, .card:not(.failed) .retry, .failed .body, .solved .challenge,
.card:not(.solved) :is(.tick, .again), [hidden] { display: none; }
dialog { padding: 0; border: 0; border-radius: 8px; width: 302px; max-width: calc(100vw - 16px); background: none; overflow: visible; }
dialog::backdrop { background: rgb(0 0 0 / 0.5); }
@media (prefers-reduced-motion: no-preference) {
  .spinner { animation: turn 0.9s linear infinite; }
  .solved .line { animation: appear 0.2s ease-out; }
}
@media (forced-colors: active) {
  .check, .retry, .icon { border-color: ButtonText; }
  .dark img { filter: none; }
  .spinner { border-block-start-color: Highlight; }
}
@keyframes turn { to { transform: rotate(1turn); } }
@keyframes appear { from { opacity: 0; } }
`;
