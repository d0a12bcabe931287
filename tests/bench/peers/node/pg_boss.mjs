// pg-boss: batches of 500, taken without a pause while they come back full.
import process from "node:process";

import { PgBoss } from "pg-boss";

import { connectionString, main, TASK, timed, waitForGo } from "./common.mjs";

async function started(options) {
  const boss = new PgBoss({ connectionString, schedule: false, ...options });
  boss.on("error", console.error);
  await boss.start();
  return boss;
}

async function enqueue(count, size) {
  const boss = await started({ supervise: false });
  await boss.createQueue(TASK);
  await boss.deleteAllJobs(TASK);
  const took = await timed(count, size, (part) =>
    boss.insert(
      TASK,
      Array.from({ length: part }, () => ({ data: { message: "a message" } })),
    ),
  );
  await boss.stop();
  return took;
}

async function work() {
  const boss = await started({ migrate: false });
  await waitForGo();
  const options = {
    batchSize: 500,
    burstWhenBatchFull: true,
    localConcurrency: 2,
    pollingIntervalSeconds: 0.5,
  };
  await boss.work(TASK, options, async () => {});
  process.once("SIGTERM", () => boss.stop({ graceful: true }));
}

await main({ enqueue, work });
