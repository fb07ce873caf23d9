import { DatagramSocket, type MulticastConnection } from "../../../lib/discovery/datagram_socket.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("[108] the group is joined again, as a network interface that was unplugged has lost it", async () => {
  // What the system answers: joined, still a member, and joined anew after the interface was unplugged.
  const answers = [undefined, new Deno.errors.AddrInUse("Address already in use"), undefined];
  const enough = Promise.withResolvers<void>();
  const closed = Promise.withResolvers<never>();
  closed.promise.catch(() => {});
  const joined: string[] = [];
  const openConnection = (): MulticastConnection => ({
    receive: () => closed.promise,
    send: (bytes) => Promise.resolve(bytes.length),
    joinMulticastV4(group, networkInterface) {
      joined.push(`${group} ${networkInterface}`);
      if (joined.length === answers.length) enough.resolve();
      const answer = answers[joined.length - 1];
      return answer === undefined ? Promise.resolve() : Promise.reject(answer);
    },
    close: () => closed.reject(new Error("closed")),
  });
  const socket = new DatagramSocket("10.0.0.1", () => true, { openConnection, rejoinMilliseconds: 1 });
  const errors: unknown[] = [];
  socket.on("error", (error) => errors.push(error));
  const listening = Promise.withResolvers<void>();
  socket.bind(5353, "0.0.0.0", listening.resolve);
  await listening.promise;
  socket.addMembership("224.0.0.251", "10.0.0.1");
  await enough.promise;
  await new Promise<void>((resolve) => socket.close(resolve));
  assertEquals([joined, errors], [answers.map(() => "224.0.0.251 10.0.0.1"), []]);
});
