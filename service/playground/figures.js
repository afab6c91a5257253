/** Times and sizes as people read them. */

const MS_IN_S = 1000;
const UNITS = ["B", "KiB", "MiB", "GiB", "TiB"];
const STEP = 1024;

/**
 * @param {number} milliseconds
 * @returns {string} such as "0.4 ms", "13 ms", "1.25 s"
 */
export function duration(milliseconds) {
  if (milliseconds >= MS_IN_S) {
    return `${Number((milliseconds / MS_IN_S).toFixed(2))} s`;
  }
  return `${milliseconds < 10 ? milliseconds.toFixed(1) : milliseconds.toFixed(0)} ms`;
}

/**
 * @param {number} bytes
 * @returns {string} such as "43 MiB", "1.6 GiB"
 */
export function size(bytes) {
  let [left, unit] = [bytes, 0];
  while (left >= STEP && unit < UNITS.length - 1) {
    left /= STEP;
    unit += 1;
  }
  return `${left < 10 && unit > 1 ? left.toFixed(1) : left.toFixed(0)} ${UNITS[unit]}`;
}

/**
 * @param {number} count
 * @param {string} noun of one
 * @returns {string} such as "1 passage", "3 passages"
 */
export function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
