/** The look of the widget. A constructed sheet, since a strict Content-Security-Policy refuses style elements. */
export const css = `
:host { display: block; }
:host([hidden]) { display: none; }
.card { all: initial; --ink: var(--gantcha-ink, #1b1f24); --soft: var(--gantcha-soft, #59636e); --line: var(--gantcha-line, #848d97);
  --edge: var(--gantcha-edge, #d1d9e0); --paper: var(--gantcha-paper, #fff); --card: var(--gantcha-card, #f6f8fa);
  --accent: var(--gantcha-accent, #0b5cad); --on-accent: var(--gantcha-on-accent, #fff); --bad: var(--gantcha-bad, #b3261e);
  --good: var(--gantcha-good, #1a7f37); --radius: var(--gantcha-radius, 8px); --font: var(--gantcha-font, system-ui, sans-serif);
  --text: max(14px, 0.875rem);
  position: relative; display: block; box-sizing: border-box; width: 100%; max-width: 302px; overflow: hidden;
  border: 1px solid var(--edge); border-radius: var(--radius); font: var(--text)/1.3 var(--font); color: var(--ink);
  background: var(--card); color-scheme: light; text-align: start; -webkit-text-size-adjust: 100%; }
.card.dark { --ink: var(--gantcha-ink, #e8ebee); --soft: var(--gantcha-soft, #a3adb8); --line: var(--gantcha-line, #768390);
  --edge: var(--gantcha-edge, #444c56); --paper: var(--gantcha-paper, #161b22); --card: var(--gantcha-card, #1f262e);
  --accent: var(--gantcha-accent, #79b8ff); --on-accent: var(--gantcha-on-accent, #161b22); --bad: var(--gantcha-bad, #ff8a80);
  --good: var(--gantcha-good, #6fdd8b); color-scheme: dark; }
.card.flexible { max-width: none; }
.frame { position: relative; display: grid; place-items: center; aspect-ratio: 5 / 2; overflow: hidden;
  border-bottom: 1px solid var(--edge); background: var(--paper); }
.flexible .frame { aspect-ratio: auto; height: 120px; background: var(--card); }
.frame > * { grid-area: 1 / 1; }
img { position: absolute; inset: 0; margin: auto; max-width: 100%; max-height: 100%; }
.dark img { filter: invert(0.88); }
.corner { position: absolute; inset-block-start: 2px; inset-inline-end: 2px; display: flex; gap: 2px; }
.words > * { grid-area: 1 / 1; }
.told #prompt { opacity: 0; }
.words { display: grid; align-items: center; min-height: 2.6em; padding: 5px 10px; box-sizing: content-box; }
.row { display: flex; flex-wrap: wrap; align-items: center; gap: 2px; padding: 0 8px 8px; }
.icons { display: flex; }
.compact .words { min-height: 1.3em; padding-block: 3px; }
.compact .row { padding: 0 4px 4px; }
p { margin: 0; overflow-wrap: anywhere; }
input, button { box-sizing: border-box; min-height: 44px; margin: 0; border: 1px solid var(--line);
  border-radius: calc(var(--radius) * 0.75); font: inherit; color: var(--ink); background: var(--paper); }
input { flex: 100 1 90px; min-width: 0; width: 100%; padding: 0 10px; font: max(17px, 1.0625rem) ui-monospace, monospace;
  letter-spacing: 0.12em; }
input::placeholder { font: var(--text) var(--font); letter-spacing: 0; color: var(--soft); opacity: 1; }
[dir="rtl"] input { text-align: right; }
input[aria-invalid] { border-color: var(--bad); }
button { flex: none; min-width: 44px; padding: 4px; border-color: transparent; background: none; font-weight: 600; cursor: pointer; }
.icon { padding: 2px; }
.corner .icon { font-size: max(12px, 0.75rem); background: var(--card); }
.corner .again { background: none; }
.icon:hover { background: color-mix(in srgb, var(--ink) 14%, var(--card)); }
[aria-pressed="true"] { color: var(--on-accent); background: var(--accent); }
.check { position: relative; flex: 1 0 auto; max-width: 100%; }
.check, .retry { padding: 4px 16px; color: var(--on-accent); background: var(--accent); }
.retry { max-width: calc(100% - 16px); }
.long { display: grid; gap: 14px; place-items: center; }
.cancel { padding: 4px 16px; border-color: var(--line); }
progress { width: 220px; accent-color: var(--accent); }
.device { flex: 1 0 100%; margin-bottom: -7px; padding: 0; font-weight: 400; color: var(--soft); text-decoration: underline; }
.boxed { display: flex; align-items: center; min-height: 65px; }
.boxed .words { flex: 1; min-height: 0; padding-inline-start: 0; }
.box { display: grid; place-items: center; width: 60px; height: 60px; }
.box::after, .box::before { content: ""; position: absolute; inset: 0; }
.box::before { position: static; grid-area: 1 / 1; width: 26px; height: 26px; box-sizing: border-box; border: 2px solid var(--line);
  border-radius: calc(var(--radius) * 0.5); background: var(--paper); }
.box:hover::before { border-color: var(--accent); }
.box svg { grid-area: 1 / 1; width: 34px; height: 34px; }
.boxed.solved .box::before { visibility: hidden; }
.check:hover, .retry:hover { background: color-mix(in srgb, var(--accent) 85%, var(--ink)); }
svg { display: block; width: 20px; height: 20px; margin: auto; fill: none; stroke: currentColor; stroke-width: 1.8;
  stroke-linecap: round; stroke-linejoin: round; }
:focus { outline: none; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: -1px; }
.check:focus-visible, .retry:focus-visible { outline-offset: -5px; outline-color: var(--on-accent); }
#status { outline: none; }
#status.bad { color: var(--bad); }
.tick { width: 44px; height: 44px; stroke-width: 2.4; color: var(--good); }
.solved #status { font-weight: 600; }
.solved:not(.boxed) #status { text-align: center; }
:is(.solved, .failed, .working) :is(.row, #prompt) { visibility: hidden; }
:disabled { opacity: 0.55; cursor: default; }
.busy .check { color: transparent; cursor: default; }
.spinner, .busy .check::after { width: 28px; height: 28px; box-sizing: border-box; border: 3px solid var(--edge);
  border-block-start-color: var(--accent); border-radius: 50%; }
.busy .check::after, .hearing .hear::after { content: ""; position: absolute; inset: 0; width: 20px; height: 20px; margin: auto;
  border-color: color-mix(in srgb, var(--on-accent) 35%, transparent); border-block-start-color: var(--on-accent); }
.boxed.working .box::before, .waiting .check::after, .hearing .hear::after { border: 0; border-radius: 50%;
  background: conic-gradient(var(--ring, var(--accent)) calc(var(--done, 0) * 1turn), #8886 0);
  mask: radial-gradient(closest-side, #0000 calc(100% - 3.5px), #000 calc(100% - 3px)); }
.check { --ring: var(--on-accent); }
.hear { position: relative; }
.hear.hear::after { width: 32px; height: 32px; }
.card:not(.working) .long, .boxed :is(.frame, .corner, .row), .card:not(.boxed) .box,
.card:not(.loading) .spinner, .card:not(.ready) img, .card:not(.failed) .retry, .card:not(.solved) :is(.tick, .again),
:is(.failed, .solved, .working) .corner .icon:not(.again, .close), [hidden] { display: none; }
dialog { padding: 0; border: 0; width: 302px; max-width: calc(100vw - 16px); background: none; }
dialog::backdrop { background: rgb(0 0 0 / 0.5); }
@media (prefers-reduced-motion: no-preference) {
  .spinner, .busy:not(.waiting) .check::after { animation: turn 0.9s linear infinite; }
}
@media (forced-colors: active) {
  .check, .retry, .icon { border-color: ButtonText; }
  .dark img { filter: none; }
  .spinner { border-block-start-color: Highlight; }
}
@keyframes turn { to { transform: rotate(1turn); } }
`;
