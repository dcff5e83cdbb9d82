/** The `userId` of an address such as `/v1/users/{userId}`. */
import { addressKinds } from '../contracts/message.ts';
import { problem } from '../contracts/problems.ts';
import { createValidator } from '../platform/validate.ts';

const validator = createValidator(addressKinds.userId.schema);

export const userParam = { userId: 'Your own id of the person' };

/** Errors: validation-failed that names the path's field. */
export function checkedUser(userId = ''): string {
  const [fault] = validator.faults(userId);
  if (fault === undefined) return userId;
  const { detail } = fault;
  throw problem('validation-failed', {
    detail: `path/userId ${detail}`,
    errors: [{ pointer: 'path/userId', detail }],
  });
}
