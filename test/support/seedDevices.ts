/** Devices in a provisioner's database before it has its folder: what the import of a manifest does. */
import { openStores } from '../../src/apps/provisioner/stores.ts';
import type { ImportedDevice } from '../../src/trust/ports/registryStore.ts';

export async function seedDevices(
  folder: string,
  devices: readonly ImportedDevice[],
): Promise<void> {
  const stores = await openStores(folder, 10);
  await stores.registry.importDevices(devices, 1);
  await stores.close();
}
