/** The page: its parts, and what each tells the others. */

import { AnswerView } from "./answer.js";
import { Asking } from "./asking.js";
import { CollectionChoice } from "./collections.js";
import { DocumentView } from "./document.js";
import { byId } from "./element.js";
import { KeyForm } from "./key.js";
import { MemoryBars } from "./memory.js";
import { Outcome } from "./outcome.js";
import { Problem } from "./problem.js";
import { QuestionForm } from "./question.js";
import { Server } from "./server.js";
import { Sources, spanOf } from "./sources.js";
import { StatusWatch } from "./status.js";
import { Uploads } from "./uploads.js";
import { Waterfall } from "./waterfall.js";

const UNAUTHENTICATED = 401;
const FORBIDDEN = 403;

const server = new Server(document.baseURI);
const choice = new CollectionChoice(server, byId("collection"), byId("upload-collections"));
const memory = new MemoryBars(byId("memory-devices"), byId("memory-note"));
const waterfall = new Waterfall(byId("waterfall"));
const outcome = new Outcome({ line: byId("outcome"), problem: byId("problem"), notes: byId("notes") });

const reader = new DocumentView(server, {
  root: byId("document"),
  title: byId("document-title"),
  place: byId("document-place"),
  note: byId("document-note"),
  text: byId("document-text"),
  close: byId("document-close"),
});
/** @type {(span: import("./document.js").Span, opener: HTMLElement) => void} */
const open = (span, opener) => void reader.open(asking.collection, span, opener);
const answer = new AnswerView(byId("answer-text"), (citation, opener) => open(spanOf(citation), opener));
const sources = new Sources(byId("citations"), byId("passages"), open);

const asking = new Asking(server, { section: byId("answer"), answer, outcome, sources, waterfall }, demandKey);
const question = new QuestionForm(
  {
    form: byId("ask"),
    text: byId("question"),
    send: byId("send"),
    stop: byId("stop"),
    topK: byId("top-k"),
    deadline: byId("deadline"),
    llm: byId("llm"),
    options: byId("options"),
  },
  ask,
  () => asking.stop(),
);
const key = new KeyForm(
  server,
  {
    panel: byId("key"),
    state: byId("key-state"),
    form: byId("key-form"),
    input: byId("key-input"),
    forget: byId("key-forget"),
    problem: byId("key-problem"),
    next: byId("question"),
  },
  () => {
    asking.clear();
    reader.close();
    forgetStatus("");
    void start();
  },
);
const uploads = new Uploads(
  server,
  {
    form: byId("upload"),
    collection: byId("upload-collection"),
    files: byId("upload-files"),
    list: byId("uploads"),
    told: byId("uploads-told"),
  },
  (collection) => void look(collection),
  demandKey,
);
const status = new StatusWatch(server, showStatus, hideStatus);

byId("collection").addEventListener("change", suggest);
byId("empty-add").addEventListener("click", () => uploads.focus());
void start();

/** Everything anew: with another key there may be other things to see. */
async function start() {
  if ((await look()) && document.activeElement === document.body) {
    question.focus(); // unless somebody has begun elsewhere
  }
  await status.refresh();
}

async function ask() {
  question.busy(true);
  if (await asking.ask(choice.name, question.body)) {
    question.busy(false);
    await status.refresh();
  }
}

/**
 * What can be asked.
 *
 * @param {string} [wanted] the collection to choose
 * @returns {Promise<boolean>} whether there is something
 */
async function look(wanted) {
  let isPossible = false;
  try {
    isPossible = await choice.refresh(wanted);
    byId("empty").hidden = isPossible;
    key.accept();
  } catch (problem) {
    if (!(problem instanceof Problem)) {
      throw problem;
    }
    if (problem.isOutdated) {
      return false; // another look is on its way
    }
    byId("empty").hidden = true;
    if (problem.status === UNAUTHENTICATED || problem.status === FORBIDDEN) {
      choice.clear(); // what another key saw
    }
    if (problem.status === FORBIDDEN) {
      key.accept(); // it is one of the server's, for something else
    }
    if (problem.status !== UNAUTHENTICATED) {
      byId("answer").hidden = false;
      outcome.fail(problem);
    }
    demandKey(problem);
    isPossible = choice.name !== ""; // what was there is not gone as the server is busy
  }
  question.allow(isPossible);
  suggest();
  return isPossible;
}

/** Files go to what is asked. */
function suggest() {
  uploads.suggest(choice.name || "default");
}

/** @param {Problem} problem */
function demandKey(problem) {
  if (problem.status === UNAUTHENTICATED) {
    key.demand(problem);
  }
}

/** @param {any} reply of /v1/status */
function showStatus(reply) {
  memory.show(reply);
  waterfall.budget(reply.budgets_ms);
  question.offer(Object.keys(reply.generators));
  byId("version").textContent = `Quarry ${reply.version}`;
}

/** @param {Problem} problem */
function hideStatus(problem) {
  if (problem.status !== UNAUTHENTICATED && problem.status !== FORBIDDEN) {
    memory.hide(problem.message);
    return;
  }
  forgetStatus("A key of scope admin sees here what is held where.");
}

/** @param {string} why nothing is known of the server */
function forgetStatus(why) {
  memory.hide(why);
  waterfall.budget({});
  question.offer([]);
  byId("version").textContent = "";
}
