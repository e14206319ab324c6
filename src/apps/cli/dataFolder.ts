/** Where a server keeps its data, when no option says otherwise. */

export function defaultData(): string {
  return process.env['BIRTHMARK_DATA'] ?? './birthmark-data';
}
