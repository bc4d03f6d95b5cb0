export declare function ensureInstalled(root?: string): string;
export declare function missingPackage(root: string): string | undefined;
export declare function findBun(root: string): string | undefined;
