import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import { cannot, CrpeError } from "../oci/error.ts";

/** The part of the runtime's interface that the compiler knows only with the unstable libraries. */
export interface MulticastConnection {
  receive(buffer: Uint8Array): Promise<[Uint8Array, Deno.Addr]>;
  send(bytes: Uint8Array, to: Deno.NetAddr): Promise<number>;
  joinMulticastV4(group: string, networkInterface: string): Promise<unknown>;
  close(): void;
}
interface DatagramOptions {
  readonly transport: "udp";
  readonly hostname: string;
  readonly port: number;
  /** Whether other programs of the machine may use the port, too. */
  readonly reuseAddress: true;
  /** Whether other programs of the machine receive what is sent. */
  readonly loopback: true;
}
const { listenDatagram } = Deno as unknown as { listenDatagram?: (options: DatagramOptions) => MulticastConnection };

// Larger datagrams are received as one of this size, which is not admitted.
const BUFFER_BYTES = 1501;
const RETRY_MILLISECONDS = 5000;
// The system forgets the group with the network interface, when that is unplugged, and says nothing.
const REJOIN_MILLISECONDS = 60_000;

/** Reports whether a datagram is passed on. @param sender the address that it came from */
export type AdmitDatagram = (datagram: Uint8Array, sender: string) => boolean;

/**
 * A socket for multicast on one network interface, with the part of the interface of `node:dgram` that `multicast-dns`
 * uses: that module cannot join a group on all releases of the runtime that crpe runs on (2.7.1).
 *
 * What is sent leaves by the network interface, because its socket is bound to an address of it.
 */
export class DatagramSocket extends EventEmitter {
  readonly #open: (hostname: string, port: number) => MulticastConnection;
  readonly #rejoinMilliseconds: number;
  readonly #address: string;
  readonly #admits: AdmitDatagram;
  #receiver: MulticastConnection | undefined;
  #sender: MulticastConnection | undefined;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #rejoin: ReturnType<typeof setTimeout> | undefined;
  #port = 0;
  /** Whether a datagram is being passed on. */
  isReceiving = false;

  /**
   * @param address the IPv4 address of the network interface
   * @param options how a socket is opened, and after how many milliseconds the group is joined again
   */
  constructor(
    address: string,
    admits: AdmitDatagram,
    { openConnection = open, rejoinMilliseconds = REJOIN_MILLISECONDS } = {},
  ) {
    super();
    this.#open = openConnection;
    this.#rejoinMilliseconds = rejoinMilliseconds;
    this.#address = address;
    this.#admits = admits;
  }

  /** Emits `listening`, or `error` when the port cannot be used; not before the caller has returned. */
  bind(port: number, _hostname: string, onListening: () => void): void {
    queueMicrotask(() => {
      try {
        this.#port = port;
        this.#receiver = this.#open("0.0.0.0", port);
        this.#sender = this.#open(this.#address, port);
      } catch (error) {
        this.#close();
        return void this.emit("error", error);
      }
      this.#receive(this.#receiver);
      this.emit("listening");
      onListening();
    });
  }

  /** Returns where it listens. */
  address(): { readonly address: string; readonly port: number } {
    return { address: this.#address, port: this.#port };
  }

  /** Joins a group, again and again, because the network interface may disappear and come back. */
  addMembership(group: string, networkInterface: string): void {
    const joinAfter = (milliseconds: number) => {
      if (this.#receiver === undefined) return;
      this.#rejoin = setTimeout(() => this.addMembership(group, networkInterface), milliseconds);
    };
    this.#receiver?.joinMulticastV4(group, networkInterface).then(
      () => joinAfter(this.#rejoinMilliseconds),
      (error) => {
        // It is a member.
        if (error instanceof Deno.errors.AddrInUse) return joinAfter(this.#rejoinMilliseconds);
        if (this.#receiver === undefined) return;
        this.emit("error", error);
        joinAfter(RETRY_MILLISECONDS);
      },
    );
  }

  /** Does nothing: a group is left when the socket is closed. */
  dropMembership(): void {}

  /** Does nothing: datagrams for the local network need no other than the default. */
  setMulticastTTL(): void {}

  /** Does nothing: it is always so. */
  setMulticastLoopback(): void {}

  /** Sends a part of `bytes`. @param rest its length, the port, the address, and what is called at the end */
  send(bytes: Uint8Array, offset: number, ...rest: [number, number, string, (error?: Error) => void]): void {
    const [length, port, hostname, callback] = rest;
    if (this.#sender === undefined) return callback(new CrpeError(cannot("send", "the socket is closed")));
    this.#sender.send(bytes.subarray(offset, offset + length), { transport: "udp", hostname, port })
      .then(() => callback(), callback);
  }

  /** Closes the socket. */
  close(callback: () => void): void {
    this.#close();
    callback();
  }

  #close(): void {
    clearTimeout(this.#retry);
    clearTimeout(this.#rejoin);
    const open = [this.#receiver, this.#sender];
    this.#receiver = this.#sender = undefined;
    for (const connection of open) connection?.close();
  }

  async #receive(receiver: MulticastConnection): Promise<void> {
    const buffer = new Uint8Array(BUFFER_BYTES);
    while (this.#receiver === receiver) {
      try {
        const [datagram, sender] = await receiver.receive(buffer);
        if (sender.transport === "udp") this.#pass(datagram, sender);
      } catch (error) {
        if (this.#receiver !== receiver) return;
        this.emit("error", error);
        await new Promise((resolve) => this.#retry = setTimeout(resolve, RETRY_MILLISECONDS));
      }
    }
  }

  #pass(datagram: Uint8Array, { hostname, port }: Deno.NetAddr): void {
    if (!this.#admits(datagram, hostname)) return;
    this.isReceiving = true;
    try {
      const bytes = Buffer.from(datagram.buffer, datagram.byteOffset, datagram.length);
      this.emit("message", bytes, { address: hostname, port, size: datagram.length });
    } finally {
      this.isReceiving = false;
    }
  }
}

function open(hostname: string, port: number): MulticastConnection {
  if (listenDatagram === undefined) {
    throw new CrpeError(cannot("use mDNS", "the runtime was started without --unstable-net"));
  }
  return listenDatagram({ transport: "udp", hostname, port, reuseAddress: true, loopback: true });
}
