/**
 * The receiver's name of one delivery, the same for every repeat. Without dots: they part the signed text, so an id with
 * one could be read in two ways.
 */
export function webhookId(deliveryKey: string): string {
  return deliveryKey.replaceAll('.', '_');
}
