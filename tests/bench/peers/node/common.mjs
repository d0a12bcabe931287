// What both queues need: an address, and a start at the same time as the other process.
import { once } from "node:events";
import process from "node:process";

export const connectionString = process.env.DATABASE_URL;
export const TASK = "nothing";

// Two that start apart would not be two for a while: wait until whoever started us has seen all of them ready.
export async function waitForGo() {
  process.stdout.write("ready\n");
  await once(process.stdin, "data");
  process.stdin.destroy();
}

// Seconds for `count` by `insert(howMany)`, `size` at a time.
export async function timed(count, size, insert) {
  const began = performance.now();
  for (let start = 0; start < count; start += size) {
    await insert(Math.min(size, count - start));
  }
  return (performance.now() - began) / 1000;
}

// fill COUNT | enqueue COUNT SIZE | work
export async function main({ enqueue, work }) {
  const [verb, count, size] = process.argv.slice(2);
  if (verb === "work") await work();
  else if (verb === "fill") await enqueue(Number(count), 1000);
  else if (verb === "enqueue") console.log(await enqueue(Number(count), Number(size)));
  else throw new Error(`unknown: ${verb}`);
}
