/** A file on its way to the server: what fetch cannot tell, how much of it has been sent. */

import { Problem } from "./problem.js";

/**
 * Send a body and tell of it as it goes.
 *
 * @param {URL} url
 * @param {{method: string, headers: Record<string, string>, body: FormData | File}} asked
 * @param {(share: number) => void} onProgress share of the body that was sent, 0 to 1
 * @returns {Promise<any>} the reply, as JSON
 * @throws {Problem}
 */
export function send(url, { method, headers, body }, onProgress) {
  const request = new XMLHttpRequest();
  request.open(method, url);
  for (const [name, value] of Object.entries(headers)) {
    request.setRequestHeader(name, value);
  }
  request.upload.addEventListener("progress", ({ loaded, total, lengthComputable }) => {
    if (lengthComputable && total > 0) {
      onProgress(loaded / total);
    }
  });
  const replied = new Promise((resolve, reject) => {
    request.addEventListener("error", () => reject(Problem.unreachable()));
    request.addEventListener("load", () => {
      const { status, responseText } = request;
      const isTaken = status >= 200 && status < 300;
      const header = (/** @type {string} */ name) => request.getResponseHeader(name);
      const problem = isTaken ? null : Problem.of(status, responseText, header, "Authorization" in headers);
      resolve(problem === null ? responseText : Promise.reject(problem));
    });
    request.send(body);
  });
  return replied.then(parsed);
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    throw Problem.foreign();
  }
}
