/** Loaded by path into Temporal clients, workers and the workflow bundle: failure messages are payloads, hence encrypted. */
import {
  DefaultFailureConverter,
  TimeoutFailure,
  type PayloadConverter,
  type ProtoFailure,
} from '@temporalio/common';

class WithCausesOfTimeouts extends DefaultFailureConverter {
  /** The SDK drops what the server says of the attempt before a timeout: what it came to, or that it never concluded. */
  override failureToError(failure: ProtoFailure, converter: PayloadConverter): Error {
    const error = super.failureToError(failure, converter);
    return error instanceof TimeoutFailure
      ? Object.assign(error, {
          cause: this.optionalFailureToOptionalError(failure.cause, converter),
        })
      : error;
  }
}

export const failureConverter = new WithCausesOfTimeouts({ encodeCommonAttributes: true });
