/** What crpe uses of `multicast-dns`. */
export interface MulticastDns {
  /** A datagram that is DNS. */
  on(
    event: "packet",
    listener: (packet: unknown, source: { readonly address: string; readonly port: number }) => void,
  ): void;
  /** A datagram that is not DNS, or a failure after which the socket works on. */
  on(event: "warning", listener: (error: Error) => void): void;
  /** A failure without which the socket does not work: it cannot be bound. */
  on(event: "error", listener: (error: Error) => void): void;
  on(event: "ready", listener: () => void): void;
  send(packet: unknown, callback: (error?: Error | null) => void): void;
  destroy(callback: () => void): void;
}
export interface MulticastDnsOptions {
  /** The address of the network interface. Without it, all of them are used. */
  interface: string;
  /** The address that the socket is bound to. */
  bind: string;
  /** A socket with the interface of `node:dgram`. */
  socket: object;
}
export default function multicastDns(options: MulticastDnsOptions): MulticastDns;
