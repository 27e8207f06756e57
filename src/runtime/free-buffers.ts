import { MessageChannel } from "node:worker_threads";

/**
 * Gives the memory of large arrays back; they are empty afterwards. A thread that has nothing to do collects no
 * garbage, and would keep weights that it has dropped. What waits at a port is freed when that is closed.
 */
export function freeBuffers(buffers: Iterable<ArrayBuffer>): void {
  const { port1, port2 } = new MessageChannel();
  port1.postMessage(null, [...buffers]);
  port1.close();
  port2.close();
}
