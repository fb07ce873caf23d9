// @ts-types="../std/multicast_dns.d.ts"
import multicastDns from "multicast-dns";
import type { DnsMessage } from "./announcement.ts";
import { type AdmitDatagram, DatagramSocket } from "./datagram_socket.ts";

/** Sends and receives messages of multicast DNS. */
export interface MulticastSocket {
  /** Sends a message to all machines of the network. @throws {Error} when it cannot be sent */
  send(message: DnsMessage): Promise<void>;
  /** Closes the socket. */
  close(): Promise<void>;
}

/** What a `MulticastSocket` does with what it receives. */
export interface MulticastEvents {
  /** Reports whether a datagram is decoded. */
  readonly admits: AdmitDatagram;
  /** Called with each decoded message. It must not throw. */
  readonly onMessage: (message: unknown, sender: string) => void;
  /** Called for each datagram that is not DNS. */
  readonly onMalformed: () => void;
  /** Called when the network interface cannot be used for now. */
  readonly onProblem: (error: Error) => void;
}

/** Opens a `MulticastSocket` on the network interface that has an address. */
export type OpenMulticastSocket = (address: string, events: MulticastEvents) => Promise<MulticastSocket>;

/** Opens the socket of multicast DNS on one network interface. @throws {Error} when the port cannot be used */
export const openMulticastSocket: OpenMulticastSocket = async (address, events) => {
  const { admits, onMessage, onMalformed, onProblem } = events;
  const socket = new DatagramSocket(address, admits);
  const ready = Promise.withResolvers<void>();
  // The socket is bound at once, and what cannot be bound is no problem that may pass.
  socket.once("error", ready.reject);
  const dns = multicastDns({ interface: address, bind: "0.0.0.0", socket });
  dns.on("ready", () => {
    socket.removeListener("error", ready.reject);
    ready.resolve();
  });
  dns.on("error", ready.reject);
  dns.on("warning", (error) => socket.isReceiving ? onMalformed() : onProblem(error));
  dns.on("packet", (message, { address }) => onMessage(message, address));
  try {
    await ready.promise;
  } catch (error) {
    dns.destroy(() => {});
    throw error;
  }
  return {
    send: (message) =>
      new Promise((resolve, reject) => {
        dns.send(message, (error) => error === undefined || error === null ? resolve() : reject(error));
      }),
    close: () => new Promise((resolve) => dns.destroy(resolve)),
  };
};
