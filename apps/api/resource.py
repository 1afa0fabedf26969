"""What every resource is made of: who may do what, how lists are read, and how a change is made once and knowingly.

A resource says whose rows it has (`rows`, and `for_members` for what a tenant's members see of them) and calls the
services that change them. Everything else is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import transaction
from django.db.models import Model, QuerySet
from django.http import Http404
from rest_framework import serializers
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from apps.api import parsing, problems, rates, repeating, versions
from apps.api.authentication import BySession, ByToken
from apps.api.bodies import Body, Page, Query
from apps.api.problems import Problem
from apps.api.reach import Reach
from apps.audit import cursors
from apps.runtime import walls
from apps.tenants import inventory
from apps.tenants.rights import Right

SAFE = ("GET", "HEAD", "OPTIONS")
USUAL_LIMIT = 50
_resources: dict[str, type[Resource]] = {}


class Signed(GenericViewSet):
    """Whoever is signed in, as often as they may ask. JSON in, JSON out, kept by no cache."""

    authentication_classes = (ByToken, BySession)
    permission_classes = ()
    renderer_classes = (JSONRenderer,)
    parser_classes = (parsing.JSON,)
    content_negotiation_class = parsing.Negotiation
    http_method_names = ["get", "post", "patch", "delete", "head"]
    lookup_value_regex = "[0-9]{1,19}"
    query: type[Query] | None = None
    is_asking = False  # a POST that changes nothing
    sees_inside = False
    is_repeated = True  # a POST can be sent again under its Idempotency-Key
    given: type[serializers.Serializer[Any]] | None = None  # the body of an action
    gives: type[serializers.Serializer[Any]] | None = None  # its answer, where that is not the row

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        parsing.check_length(request)
        super().initial(request, *args, **kwargs)
        if not request.user.is_authenticated:
            self.permission_denied(request)
        self.pace("asked", most=rates.REQUESTS)
        self.reach = Reach(request.user, request.auth)
        if not self.reach.is_of_installation:
            walls.stand(person=request.user.pk, tenants=self.reach.roles)
        if request.method not in SAFE and not self.is_asking and not self.reach.may_write:
            raise Problem(403, code="read_only")

    def pace(self, kind: str, *, most: int) -> None:
        """Counts one more of the token, or of the session's user. Raises Problem."""
        token = self.request.auth
        who = f"token {token.pk}" if token is not None else f"user {self.request.user.pk}"
        if wait := rates.over(kind, who, most=most):
            problem = Problem(429, f"{most} of these a minute are the most.")
            problem.headers["Retry-After"] = str(wait)
            raise problem

    def get_exception_handler(self) -> Any:
        return problems.answer

    def finalize_response(self, request: Request, response: Response, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Cache-Control"] = "no-store"
        response._has_been_logged = True  # Django would warn of every refusal; what has failed is logged as it fails
        return response

    def asked(self) -> dict[str, Any]:
        """The query's parameters. Raises Problem for what cannot be, and what is not known."""
        given = self.request.query_params
        query = self.query(data=given, context={"view": self}) if self.query is not None else Query(data={})
        paged = Page(data=given)
        beside = tuple(Page().fields) if isinstance(self, Listing) and self.detail is False else ()
        errors = query.unknown(given, beside=beside)
        for part in (query, paged):
            if not part.is_valid():
                errors |= problems.flat(part.errors)
        if errors:
            raise Problem(400, code="bad_query", errors=errors)
        return dict(query.validated_data) | ({"page": dict(paged.validated_data)} if beside else {})

    def read(self, kind: type[serializers.Serializer[Any]], **options: Any) -> Any:
        """The body. Raises Problem with messages at its fields."""
        serializer = kind(data=self.request.data, context={"view": self}, **options)
        if not serializer.is_valid():
            raise Problem(422, errors=problems.flat(serializer.errors))
        return dict(serializer.validated_data)

    # --- rows of other resources -------------------------------------------------------------------------------

    def found(self, resource: str, pk: Any) -> Any:
        """A row of another resource that whoever asks may see; None: there is none for them."""
        try:
            return _resources[resource].seen(self.reach).filter(pk=pk).first()
        except PermissionDenied:
            return None

    def person(self, pk: int) -> Any:
        """A user whom whoever asks may name; None: there is none for them."""
        if (found := self.found("users", pk)) is not None:
            return found
        theirs = self.reach.tenants_with(Right.MANAGE_KEYS)
        member = inventory.memberships().filter(user=pk, tenant__in=theirs).first()
        if member is not None:
            return member.user
        return self.reach.user if pk == self.reach.user.pk else None

    def noun_of(self, resource: str) -> str:
        return _resources[resource].noun


class Resource(Signed):
    """`model`: what the admin's permissions are on. `place`: its path."""

    place: ClassVar[str]
    noun: ClassVar[str]
    model: ClassVar[str]
    body: ClassVar[type[Body]]
    ordering: ClassVar[tuple[str, ...]] = ("-id",)
    secrets: ClassVar[tuple[str, ...]] = ()
    changes_inside: ClassVar[bool] = True  # False: an action of it takes long, and asks others

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "place" in vars(cls):
            _resources[cls.place] = cls

    # --- whose rows --------------------------------------------------------------------------------------------

    @classmethod
    def rows(cls) -> QuerySet[Any]:
        raise NotImplementedError

    @classmethod
    def for_members(cls, rows: QuerySet[Any], reach: Reach) -> QuerySet[Any] | None:
        """What members of tenants see of them; None: it is none of theirs."""
        return None

    @classmethod
    def seen(cls, reach: Reach) -> QuerySet[Any]:
        """Raises PermissionDenied."""
        if reach.has_perm(cls.permission("view")):
            return cls.rows()
        found = cls.for_members(cls.rows(), reach)
        if found is None:
            raise PermissionDenied
        return found

    @classmethod
    def permission(cls, verb: str) -> str:
        app, _, name = cls.model.partition(".")
        return f"{app}.{verb}_{name}"

    def manages(self, verb: str) -> bool:
        """Whether whoever asks may do so to any row, as in the admin."""
        return self.reach.has_perm(self.permission(verb))

    def must(self, verb: str) -> None:
        """For what is no member's affair. Raises PermissionDenied."""
        if not self.manages(verb):
            raise PermissionDenied

    @property
    def sees_inside(self) -> bool:  # type: ignore[override]
        return self.manages("view")

    def row(self, pk: Any = None) -> Any:
        """The one of the path. Raises Http404 for what is none, and for what is others'."""
        found = self.seen(self.reach).filter(pk=self.kwargs["pk"] if pk is None else pk).first()
        if found is None:
            raise Http404
        return found

    # --- telling -----------------------------------------------------------------------------------------------

    def get_serializer(self, *args: Any, **options: Any) -> Any:
        return self.body(*args, **{"context": {"view": self}, **options})

    def told(self, row: Any, *, beside: Mapping[str, Any] | None = None, status: int = 200) -> Response:
        data = dict(self.get_serializer(row).data)
        answer = Response(data | dict(beside or {}), status=status)
        answer["ETag"] = versions.version(data, volatile=self.body.volatile)
        return answer

    def made(self, row: Any, *, beside: Mapping[str, Any] | None = None) -> Response:
        answer = self.told(self.row(row.pk), beside=beside, status=201)
        answer["Location"] = f"/api/v1/{self.place}/{row.pk}"
        return answer

    # --- changing ----------------------------------------------------------------------------------------------

    def lock(self, row: Model) -> None:
        """Until the transaction ends, so that what is compared stays. As the services lock, or two could wait for each
        other."""
        type(row)._base_manager.select_for_update().filter(pk=row.pk).first()

    def changing(self, verb: str = "change") -> Any:
        """The row of the path, locked, in the version that its writer has read. In a transaction. Raises Problem."""
        row = self.row()
        self.allow(verb, row)
        among = versions.wanted(self.request)
        self.lock(row)
        row = self.row()
        told = dict(self.get_serializer(row).data)
        versions.check(versions.version(told, volatile=self.body.volatile), among=among)
        return row

    def allow(self, verb: str, row: Any) -> None:
        """Raises PermissionDenied. What members may do, their services say."""
        self.must(verb)

    def once(self, do: Any) -> Response:
        return repeating.once(self.request, lambda: self.trying(do), secrets=self.secrets)

    def trying(self, do: Any) -> Any:
        """What a service refuses is told at the field of this API."""
        try:
            return do()
        except ValidationError as error:
            raise problems.refused(error, names=self.body(context={"view": self}).names()) from None


class Listing:
    def list(self: Any, request: Request) -> Response:
        """The page of a list, the newest first."""
        given = self.asked()
        paging = given.pop("page")
        rows = self.seen(self.reach)
        if self.query is not None and given:
            rows = self.query.apply(rows, given)
        try:
            page = cursors.page(
                rows, self.ordering, cursor=paging.get("cursor", ""), size=paging.get("limit", USUAL_LIMIT)
            )
        except ValueError:
            raise Problem(400, code="bad_query", errors={"cursor": ["No page gave this cursor."]}) from None
        items = self.get_serializer(page.rows, many=True).data
        return Response({"items": items, "next": self.link(request, page.older)})

    def link(self, request: Request, cursor: str) -> str | None:
        if not cursor:
            return None
        query = request.query_params.copy()
        query["cursor"] = cursor
        return str(request.build_absolute_uri(f"{request.path}?{query.urlencode()}"))


class Reading:
    def retrieve(self: Any, request: Request, pk: str) -> Response:
        """One, with its version."""
        self.asked()
        return self.told(self.row())


class Making:
    def create(self: Any, request: Request) -> Response:
        """A new one."""
        self.asked()
        self.allow_making()
        return self.once(lambda: self.make(self.read(self.body)))

    def allow_making(self: Any) -> None:
        """Raises PermissionDenied before anything is looked at."""
        self.must("add")


class Changing:
    def partial_update(self: Any, request: Request, pk: str) -> Response:
        """Changes what is given, of the version that If-Match names."""
        self.asked()
        with transaction.atomic():
            row = self.changing("change")
            changes = self.read(self.body, partial=True)
            self.trying(lambda: self.change(row, changes))
            return self.told(self.row())


class Removing:
    def destroy(self: Any, request: Request, pk: str) -> Response:
        """Removes it, in the version that If-Match names."""
        self.asked()
        with transaction.atomic():
            row = self.changing("delete")
            self.trying(lambda: self.remove(row))
        return Response(status=204)
