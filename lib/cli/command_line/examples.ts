/** An example: a command line, and what it does. */
export type Example = readonly [line: string, purpose: string];

const K3S = "--manifests-dir=/var/lib/rancher/k3s/server/manifests";

/** The examples of each command, by its full name. */
const EXAMPLES: Readonly<Record<string, readonly Example[]>> = {
  registry: [
    ["crpe registry --data=/srv/crpe --cache-max=20GiB", "serve, and keep at most 20 GiB"],
    ["crpe registry --upstream=registry.lan=http://192.168.1.5:5000", "pull through from one registry only"],
  ],
  agent: [[`crpe agent --data=/srv/crpe ${K3S}`, "accept bundles, and hand their manifests to k3s"]],
  pull: [
    ["crpe pull nginx:1.27", "pull an image for all its platforms"],
    ["crpe pull quay.io/prometheus/node-exporter:v1.8.2 --platform=linux/arm64", "pull it for one platform"],
    ["crpe pull nginx --tags='1.27.*'", "pull all tags that match"],
  ],
  tags: [
    ["crpe tags nginx", "ask the registry"],
    ["crpe tags nginx --offline", "list the tags in the store"],
  ],
  pack: [
    ["crpe pack line4.json --platform=linux/arm64", "pack a release into line4@1.0.0.tgz"],
    ["crpe pack deploy/ --name=web --version=1.2.0", "pack a folder of Kubernetes objects"],
    ["crpe pack line4.json --outbox", "pack it into the outbox of the page"],
    ["crpe pack line4.json --have=have.json --split=3900MiB", "leave out what the site has, for a FAT stick"],
  ],
  outbox: [
    ["crpe outbox", "list the packed bundles"],
  ],
  "outbox path": [["crpe outbox path line4@1.0.0", "print the path of a bundle, for crpe push"]],
  "outbox rm": [["crpe outbox rm line4@1.0.0", "remove a bundle"]],
  keygen: [["crpe keygen desk", "create desk and desk.pub"]],
  sign: [
    ["crpe sign line4@1.0.0.tgz --key=desk", "sign a bundle"],
    [
      "crpe sign line4@1.0.0.tgz --signature=line4.sig --public-key=hsm.pub",
      "attach a signature that was made elsewhere",
    ],
  ],
  inspect: [["crpe inspect line4@1.0.0.tgz", "show the images and manifests of a bundle"]],
  verify: [
    ["crpe verify line4@1.0.0.tgz", "hash a bundle again"],
    ["crpe verify --repair --from line4@1.0.0.tgz", "heal the store from a bundle"],
  ],
  import: [
    ["crpe import line4@1.0.0.tgz --dry-run", "show what an import would do"],
    [`crpe import line4@1.0.0.tgz ${K3S}`, "import, and hand the manifests to k3s"],
    ["crpe import line4@1.0.0.tgz --trusted-keys=desk.pub", "accept only what the desk has signed"],
    ["ssh desk cat line4@1.0.0.tgz | crpe import -", "import standard input"],
  ],
  push: [
    ["crpe push line4@1.0.0.tgz --to=https://192.168.1.20:36060 --token-file=token", "send only the missing blobs"],
  ],
  inventory: [["crpe inventory --data=/srv/crpe > have.json", "list what the site has, for crpe pack --have"]],
  gc: [
    ["crpe gc --dry-run", "show what would be removed"],
    ["crpe gc --untagged", "also remove what no tag refers to"],
  ],
  images: [["crpe images --data=/srv/crpe", "list the images of a data folder"]],
  "images rm": [["crpe images rm nginx:1.27 --dry-run", "show what the removal of an image would free"]],
  "images du": [["crpe images du", "show which images use the disk"]],
  "images pin": [["crpe images pin registry.lan/line4/hmi:2.0", "never evict an image"]],
  "images unpin": [["crpe images unpin registry.lan/line4/hmi:2.0", "let it be evicted again"]],
  load: [
    ["crpe load images.tar", "load what docker save wrote"],
    ["docker save nginx:1.27 | crpe load", "load standard input"],
  ],
  save: [
    ["crpe save nginx:1.27 redis:7 -o images.tar", "write two images for docker load"],
    ["crpe save nginx:1.27 | ssh node1 docker load", "write to standard output"],
  ],
  packages: [["crpe packages --data=/srv/crpe", "list the installed packages"]],
  "packages history": [["crpe packages history line4", "list the versions that a rollback can choose"]],
  "packages receipt": [["crpe packages receipt line4 > line4-receipt.json", "keep what was imported, and when"]],
  "packages status": [["crpe packages status line4 --wait=2m", "wait until the cluster has applied it"]],
  "packages rollback": [
    ["crpe packages rollback line4@1.0.0", "install an earlier version again"],
    ["crpe packages rollback line4 --to=https://node1:36060 --token-file=node1.token", "do it on an agent"],
  ],
  "packages remove": [["crpe packages remove line4 --dry-run", "list what would be deleted and kept"]],
  manifests: [
    ["crpe manifests line4@1.0.0.tgz | kubectl apply -f -", "apply the objects of a bundle by hand"],
    ["crpe manifests line4 --helm=chart/", "write a Helm chart of an installed package"],
  ],
  receipt: [["crpe receipt", "list what was imported when, and who signed that"]],
  "receipt key": [["crpe receipt key > gate-2.pub", "print the public key, for the desk"]],
  token: [["crpe token", "list the tokens"]],
  "token list": [["crpe token list --json", "list the tokens as JSON"]],
  "receipt verify": [
    ["crpe receipt verify line4-receipt.json --public-key=gate-2.pub", "verify what a site has sent back"],
  ],
  "receipt show": [["crpe receipt show line4 --json", "print the receipt as JSON"]],
  "token create": [
    ["crpe token create ci --scope=import --expires=90d", "let a pipeline push for 90 days"],
  ],
  "token revoke": [["crpe token revoke ci", "end that token at once"]],
  nodes: [
    ["crpe nodes", "ask the local network"],
    ["crpe nodes 192.168.1.20:36060", "ask one agent"],
  ],
  version: [["crpe version --json", "print version, commit and runtime as JSON"]],
  upgrade: [
    ["crpe upgrade --from=/media/usb/crpe-1.1.0 --dry-run", "show what an upgrade from a folder would do"],
    ["crpe upgrade --from=https://files.lan/crpe/1.1.0 --key=crpe.pub", "upgrade from a web server"],
  ],
  "mirror-config": [
    ["crpe mirror-config k3s --to=http://192.168.1.20:6060 --write", "let a k3s node pull from crpe"],
    ["crpe mirror-config docker", "print the configuration, change nothing"],
  ],
  copy: [
    ["crpe copy line4@1.0.0.tgz --to registry.lan:5000/mirror --manifests line4.yaml", "push a bundle's images"],
    ["crpe copy nginx:1.27 --to registry.lan:5000 --dry-run", "show what would be sent"],
  ],
  doctor: [
    ["crpe doctor", "check this machine"],
    ["crpe doctor registry.lan/team/web:1.0 --offline", "find out why an image cannot be pulled"],
  ],
  status: [
    ["crpe status", "ask the registry on this machine"],
    ["crpe status http://192.168.1.20:36060 --watch", "follow an agent"],
  ],
  completion: [["source <(crpe completion bash)", "complete crpe in this shell"]],
};

/** Returns the examples of a command. @param name its full name: `packages history` */
export function examplesOf(name: string): readonly Example[] {
  return EXAMPLES[name] ?? [];
}
