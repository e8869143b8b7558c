/** What the pages of all clients have in common. */

/** What the query of the page asks for, such as ?size=invisible. */
export const { size, execution } = Object.fromEntries(new URLSearchParams(location.search));

/** Give a callback that keeps what it was called with, for the test to read. */
window.said = [];
export const said = (name) => (...values) => void window.said.push([name, ...values]);
