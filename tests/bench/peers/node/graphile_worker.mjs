// graphile-worker as its page on performance sets it up: a local queue of 500, results acknowledged in batches.
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import pg from "pg";

import { connectionString, main, TASK, timed, waitForGo } from "./common.mjs";

// It would log every success, which costs more than the work.
const logger = new Logger(() => (level, message) => {
  if (level === "error") console.error(message);
});

async function enqueue(count, size) {
  const pgPool = new pg.Pool({ connectionString, max: 2 });
  const utils = await makeWorkerUtils({ pgPool, logger });
  await utils.migrate();
  await pgPool.query("TRUNCATE graphile_worker._private_jobs");
  const took = await timed(count, size, (part) =>
    utils.addJobs(Array.from({ length: part }, () => ({ identifier: TASK, payload: { message: "a message" } }))),
  );
  await utils.release();
  await pgPool.end();
  return took;
}

async function work() {
  const pgPool = new pg.Pool({ connectionString, max: 25 });
  await pgPool.query("SELECT 1");
  await waitForGo();
  const runner = await run({
    pgPool,
    logger,
    taskList: { [TASK]: async () => {} },
    preset: {
      worker: {
        concurrentJobs: 24,
        localQueue: { size: 500 },
        completeJobBatchDelay: 0,
        failJobBatchDelay: 0,
      },
    },
  });
  await runner.promise;
  await pgPool.end();
}

await main({ enqueue, work });
