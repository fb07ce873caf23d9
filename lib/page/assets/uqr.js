// The server sends the package's own file under this name; see ../asset_files.ts. This is for tools that read the sources.
export * from "uqr";
