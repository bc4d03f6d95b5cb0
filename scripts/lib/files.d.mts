export declare const ROOT: string;
export declare function findFiles(folder: string, wanted: (name: string) => boolean): string[];
export declare function say(line: string): void;
export declare function complain(line: string): void;
